import { existsSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const root = import.meta.dirname;

/** Packages that do I/O for a process. A room that is pure knows none of them, so it can be read, tested and reused alone. */
const frameworks = /^(@nestjs\/|nestjs-|typeorm$|bullmq$|ioredis$|pg$|fastify$|@fastify\/|pino|prom-client$)/;
const inputOutput = /^node:(fs|net|http|https|child_process|dgram|os|timers|worker_threads|readline)(\/|$)/;

/** Which room may look into which: imports point one way. `never` lists packages a room must not know. `folders` are those outside of all rooms that it may look into. */
const rooms = {
  'libs/errors': { libs: [], never: [frameworks, inputOutput] },
  'libs/text': { libs: [], never: [frameworks, inputOutput] },
  'libs/files': { libs: [], never: [frameworks] },
  'libs/limits': { libs: ['errors'], never: [frameworks, inputOutput] },
  'libs/process': { libs: ['errors', 'files', 'limits'], never: [frameworks] },
  'libs/session': { libs: ['errors', 'text'], never: [frameworks, inputOutput] },
  'libs/views': { libs: ['errors', 'session'], never: [frameworks, inputOutput] },
  'libs/migration-stream': { libs: ['errors'], never: [frameworks] },
  'libs/qemu': { libs: ['errors', 'limits', 'process', 'migration-stream'], never: [frameworks] },
  'libs/working-set': { libs: ['errors'], never: [frameworks] },
  'libs/keys': { libs: ['errors', 'files', 'limits'], never: [frameworks] },
  'libs/storage': { libs: ['errors', 'files', 'limits', 'process'], never: [frameworks] },
  'libs/checkpoint': { libs: ['errors', 'text', 'storage'], never: [frameworks] },
  'libs/checkpoint-tools': { libs: ['errors', 'text', 'storage', 'migration-stream'], never: [frameworks] },
  'libs/content-index': { libs: ['errors', 'checkpoint'], never: [frameworks] },
  'libs/pager-control': {
    libs: ['errors', 'limits', 'process'],
    never: [/^(@nestjs\/|nestjs-|typeorm$|bullmq$|ioredis$)/],
  },
  'libs/hypervisor': {
    libs: [
      'errors',
      'text',
      'files',
      'limits',
      'process',
      'qemu',
      'migration-stream',
      'pager-control',
      'checkpoint',
      'content-index',
      'storage',
    ],
    never: [/^(@nestjs\/|nestjs-|typeorm$|bullmq$|ioredis$)/],
  },
  'libs/simulation': { libs: ['errors', 'text', 'qemu', 'hypervisor'], never: [frameworks] },
  'libs/config': { libs: ['errors', 'text', 'files'], never: [frameworks] },
  'libs/observability': { libs: ['errors', 'config'], never: [] },
  'libs/embedded': { libs: ['errors', 'files', 'limits', 'process'], never: [/^(@nestjs\/|nestjs-|typeorm$|bullmq$)/] },
  'libs/persistence': { libs: ['errors', 'limits', 'session', 'config'], folders: ['migrations'], never: [] },
  'libs/ledger': { libs: ['errors', 'text', 'session', 'views', 'persistence', 'keys'], never: [] },
  'libs/garbage': {
    libs: ['errors', 'text', 'files', 'session', 'storage', 'checkpoint', 'hypervisor', 'ledger'],
    never: [frameworks],
  },
  'libs/jobs': {
    libs: ['errors', 'text', 'limits', 'session', 'persistence', 'ledger', 'config', 'observability'],
    never: [],
  },
  'libs/api-client': { libs: ['errors', 'text', 'limits', 'config', 'session', 'views'], never: [frameworks] },
  // The data path of a VM: nothing that could make a page wait.
  'apps/pager': { libs: 'all', never: [/^(@nestjs\/|nestjs-|typeorm$|bullmq$|ioredis$|pg$)/] },
  'apps/*': { libs: 'all', never: [] },
};

const oneWayImports = {
  meta: { type: 'problem', schema: [], messages: { crossed: '{{why}}' } },
  create(context) {
    const from = roomOf(context.filename);
    if (from === null) return {};
    const check = (source) => {
      if (typeof source?.value !== 'string') return;
      const why = whyForbidden(from, source.value, context.filename) ?? whyCircle(source.value, context.filename);
      if (why !== null) context.report({ node: source, messageId: 'crossed', data: { why } });
    };
    return {
      ImportDeclaration: ({ source }) => check(source),
      ImportExpression: ({ source }) => check(source),
      ExportNamedDeclaration: ({ source }) => check(source),
      ExportAllDeclaration: ({ source }) => check(source),
    };
  },
};

/** Files of a room that import each other cannot be understood one after the other. Imports of types count as well. */
function whyCircle(source, file) {
  const first = source.startsWith('.') ? fileOf(source, file) : null;
  const way = first === null ? null : wayTo(file, [first]);
  return way === null
    ? null
    : `this import leads back to its own file: ${way.map((one) => relative(root, one)).join(' → ')}`;
}

/** The files from the last of `way` on until one of them imports `goal`; null when none does. */
function wayTo(goal, way, seen = new Set(way)) {
  for (const next of importsOf(way.at(-1))) {
    if (next === goal) return [...way, goal];
    if (seen.has(next)) continue;
    seen.add(next);
    const found = wayTo(goal, [...way, next], seen);
    if (found !== null) return found;
  }
  return null;
}

const importsOfFiles = new Map();

function importsOf(file) {
  if (!importsOfFiles.has(file)) {
    const sources = [...readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']*)'/g)].map(
      ([, source]) => source,
    );
    importsOfFiles.set(
      file,
      sources.map((source) => fileOf(source, file)).filter((found) => found !== null),
    );
  }
  return importsOfFiles.get(file);
}

function fileOf(source, file) {
  const path = resolve(dirname(file), source);
  return [`${path}.ts`, resolve(path, 'index.ts')].find((candidate) => existsSync(candidate)) ?? null;
}

/** `libs/session` for a file in it, null outside of all rooms. */
function roomOf(file) {
  const [kind, name, ...rest] = relative(root, file).split('/');
  return (kind === 'libs' || kind === 'apps') && rest.length > 0 ? `${kind}/${name}` : null;
}

function whyForbidden(from, source, file) {
  const room = rooms[from] ?? (from.startsWith('apps/') ? rooms['apps/*'] : null);
  if (room === null)
    return `${from} has no row in the table of rooms (eslint.config.mjs): say there what it may import`;
  if (source.startsWith('.')) {
    const to = roomOf(resolve(dirname(file), source, 'x'));
    if (to === from) return null;
    if (to === null && room.folders?.includes(relative(root, resolve(dirname(file), source)).split('/')[0]))
      return null;
    return to?.startsWith('libs/')
      ? `import ${to} by its name: '@dormouse/${to.slice('libs/'.length)}'`
      : `${from} must not import from outside of its folder by path`;
  }
  if (source.startsWith('@dormouse/')) {
    const [, lib, ...deeper] = source.split('/');
    if (deeper.length > 0) return `import '@dormouse/${lib}', not a file inside of it`;
    if (`libs/${lib}` === from && !file.endsWith('.spec.ts')) return `inside of ${from}, import the file itself`;
    if (`libs/${lib}` !== from && room.libs !== 'all' && !room.libs.includes(lib)) {
      return `imports point one way: ${from} may import ${room.libs.join(', ') || 'no other room'}, not ${lib}`;
    }
    return null;
  }
  return room.never.some((pattern) => pattern.test(source)) ? `${from} must not know '${source}'` : null;
}

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', '.dormouse/', '**/*.generated.*'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: root } },
    plugins: { rooms: { rules: { 'one-way-imports': oneWayImports } } },
    rules: {
      'rooms/one-way-imports': 'error',
      eqeqeq: 'error',
      'no-console': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // `while (performance.now() < until);` and template literals with numbers are clear as they are.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // A failure that was kept for later is thrown as it came.
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingUnknown: true }],
      // An async method that awaits nothing still turns a throw into a rejection, which ports rely on.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['**/*.spec.ts', 'test/**/*.ts'],
    rules: {
      'no-console': 'off',
      // Jest's matchers and rows of ad-hoc queries are `any` by their types; an assertion follows at once.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
  {
    files: ['**/*.{js,cjs,mjs}'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        module: 'writable',
        require: 'readonly',
        __dirname: 'readonly',
      },
    },
  },
);
