import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail, say } from './say.mjs';

/**
 * npm notes what it installed in node_modules/.package-lock.json. Contents are compared, not times: a checkout gives the
 * lock file a new time without changing it, and an older one returns with a branch.
 */
export function isNeeded(root) {
  const wanted = packages(join(root, 'package-lock.json'));
  const installed = packages(join(root, 'node_modules', '.package-lock.json'));
  return Object.entries(wanted).some(([path, { version, integrity, optional }]) => {
    if (path === '') return false; // the project itself
    const found = installed[path];
    if (found === undefined) return optional !== true; // npm leaves out what is for other platforms
    return found.version !== version || found.integrity !== integrity;
  });
}

export function run(root) {
  say('installing node_modules (npm ci)');
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];
  // Building needs the development dependencies, whatever NODE_ENV says. No package needs a script of its own, and one would report the
  // installation to its maker.
  const options = ['--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const [file, ...args] = [...npm, 'ci', ...options];
  const ended = spawnSync(file, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (ended.status !== 0) fail(`npm failed${ended.error ? `: ${ended.error.message}` : ', its own words are above'}`);
}

function packages(lockFile) {
  try {
    return JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return {}; // nothing, or half of it, was installed
    throw error;
  }
}
