/**
 * Lets a plain `node` process that a test starts require TypeScript: `node --require …/typescript.cjs file.ts`.
 * The same compiler and settings as everywhere else (.swcrc).
 */
const { resolve } = require('node:path');
const { transformFileSync } = require('@swc/core');

const root = resolve(__dirname, '../..');

require.extensions['.ts'] = (module, file) => {
  module._compile(transformFileSync(file, { cwd: root, root, sourceMaps: 'inline' }).code, file);
};
