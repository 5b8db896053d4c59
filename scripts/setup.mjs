#!/usr/bin/env node
/**
 * Makes a fresh clone ready to run: system packages, node_modules, dist/. Runs before `npm run demo`, `npm test` and the
 * like, so it has no dependencies, says nothing when nothing is missing, and writes to standard error only.
 * `--rebuild` builds dist/ even when it is up to date.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath, URL } from 'node:url';
import * as build from './setup/build.mjs';
import * as nodeModules from './setup/node-modules.mjs';
import { fail, say } from './setup/say.mjs';
import * as systemPackages from './setup/system-packages.mjs';

const oldestNode = [20, 19];
const otherSetUpRuns = 75;

const root = fileURLToPath(new URL('..', import.meta.url));
const rebuild = process.argv.includes('--rebuild');
const holdsLock = process.argv.includes('--locked');

// What cannot be had without an administrator comes first: better to hear of it before a minute of downloading.
const steps = [systemPackages, nodeModules, { ...build, isNeeded: (path) => rebuild || build.isNeeded(path) }];

requireNode();
if (steps.some((step) => step.isNeeded(root))) {
  if (holdsLock) doWhatIsNeeded();
  else runAgainUnderLock();
}

function doWhatIsNeeded() {
  for (const step of steps) if (step.isNeeded(root)) step.run(root);
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
    fail(`Node ${oldestNode.join('.')} or newer is needed, this is ${process.versions.node}`);
  }
}

/**
 * Two set-ups at once would empty node_modules under each other. The lock is flock(2) on our own directory: it leaves no
 * file behind and ends with the process that holds it, however that ends. Whoever waited looks again at what is missing.
 */
function runAgainUnderLock() {
  const locked = [fileURLToPath(new URL('.', import.meta.url)), process.execPath, process.argv[1], '--locked'];
  if (rebuild) locked.push('--rebuild');
  const flock = (...options) => spawnSync('flock', [...options, ...locked], { stdio: ['ignore', 2, 2] });
  let ended = flock('--nonblock', '--conflict-exit-code', String(otherSetUpRuns));
  if (ended.status === otherSetUpRuns) {
    say('another set-up is running here, waiting for it');
    ended = flock();
  }
  // Without flock the first step installs it, or asks for it together with whatever else is missing.
  if (ended.error) doWhatIsNeeded();
  else process.exitCode = ended.status ?? 1;
}
