/** `npm run docs`: writes into the pages what is generated from the code. */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { limitsPage } from './limits-page';
import { withStateTable } from './state-table';

const page = resolve('docs/ARCHITECTURE.md');
writeFileSync(page, withStateTable(readFileSync(page, 'utf8')));
writeFileSync(resolve('docs/limits.md'), limitsPage());
