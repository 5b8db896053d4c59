import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fail, say } from './say.mjs';

const sourceFolders = ['apps', 'libs', 'migrations', 'test'];
const isSource = (name) => name.endsWith('.ts') && !name.endsWith('.spec.ts') && !name.endsWith('.d.ts');

/** In dist/: which sources, of which time and size, it was built from. */
const stampName = '.built-from';

export function isNeeded(root) {
  try {
    return readFileSync(join(root, 'dist', stampName), 'utf8') !== fingerprint(root);
  } catch (error) {
    if (error.code === 'ENOENT') return true;
    throw error;
  }
}

export function run(root) {
  say('building dist/');
  // Taken before the build: a source saved while it runs makes the next look build again.
  const builtFrom = fingerprint(root);
  const dist = join(root, 'dist');
  rmSync(join(dist, stampName), { force: true });
  const folders = sourceFolders.filter((folder) => existsSync(join(root, folder)));
  const swc = join(root, 'node_modules', '@swc', 'cli', 'bin', 'swc.js');
  const args = [swc, ...folders, '--quiet', '--ignore', '**/*.spec.ts', '--ignore', '**/*.d.ts', '-d', 'dist'];
  const ended = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (ended.status !== 0) fail('the build failed, the compiler says why above');
  removeWhatHasNoSource(root, dist);
  chmodSync(join(dist, 'apps', 'cli', 'main.js'), 0o755); // package.json names it as a command
  writeFileSync(join(dist, stampName), builtFrom);
}

function fingerprint(root) {
  const files = ['.swcrc', 'package-lock.json', ...sources(root)];
  const hash = createHash('sha256');
  for (const file of files) {
    const { mtimeMs, size } = statSync(join(root, file));
    hash.update(`${file}\0${mtimeMs}\0${size}\n`);
  }
  return hash.digest('hex');
}

/** A module that was moved would otherwise go on being found at its old place. */
function removeWhatHasNoSource(root, dist) {
  const wanted = new Set(sources(root).map((file) => file.replace(/\.ts$/, '')));
  for (const output of filesBelow(dist).filter((file) => /\.js(\.map)?$/.test(file))) {
    if (!wanted.has(relative(dist, output).replace(/\.js(\.map)?$/, ''))) rmSync(output);
  }
}

function sources(root) {
  return sourceFolders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => filesBelow(join(root, folder)))
    .filter(isSource)
    .map((file) => relative(root, file))
    .sort();
}

function filesBelow(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}
