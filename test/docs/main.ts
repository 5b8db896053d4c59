/** `npm run docs`: writes into the pages what is generated from the code. */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { withStateTable } from './state-table';

const page = resolve('docs/ARCHITECTURE.md');
writeFileSync(page, withStateTable(readFileSync(page, 'utf8')));
