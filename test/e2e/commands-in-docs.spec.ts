import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RunningDormouse } from '../scenario';
import { TestBed } from '../scenario/test-bed';

/**
 * Every command that the README and the pages in docs/ show runs as it is written, in its order, against a real Dormouse with a real guest.
 * What cannot run here is listed, with the reason.
 */
jest.setTimeout(600_000);

const root = join(__dirname, '../..');
const run = promisify(execFile);
const hostId = 'rack-7';

/** By how a command begins. One that is listed and not shown any more is an error. */
const notHere: Readonly<Record<string, string>> = {
  'npm run demo': 'the same steps are those of test/e2e/main-job.spec.ts',
  'npm test': 'this is one of them',
  'npm start': 'the test bed starts it, on a port of its own',
  'alias dormouse': 'an alias is for people; here it is a function',
  'cp deploy/docker/example.env': 'for the next',
  'docker compose': 'there is no Docker where the tests run; test/integration/config-compose.spec.ts reads the file',
  'dormouse host fence': 'the host is heard: refused, as test/integration/hosts.spec.ts has it',
  'dormouse operation cancel': 'nothing is under way by then',
  'dormouse desktop consent': 'the desktop wakes: test/e2e/ladder.spec.ts has one that does not',
  vault: 'there is no Vault here: test/contract/vault-transit.spec.ts speaks to its API',
};

let bed: TestBed;
let dormouse: RunningDormouse;
let work: string;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start({ HOST_ID: hostId });
  work = mkdtempSync(join(tmpdir(), 'dormouse-commands-'));
});
afterAll(async () => {
  await dormouse?.stop();
  await bed?.end();
  rmSync(work, { recursive: true, force: true });
});

test('the README’s commands, in their order, and its policy', async () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const policy = blocksOf(readme, 'json').find((block) => block.includes('"graceMs"'))!;
  writeFileSync(join(work, 'policy.json'), policy);
  await shell('dormouse pool put office policy.json');
  await runAll(readme);
});

test('the commands of the other pages', async () => {
  // A broker that has been heard can be retired.
  await shell('dormouse event send vdc.broker.heartbeat --source /brokers/old ada');
  for (const page of readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))) {
    await runAll(readFileSync(join(root, 'docs', page), 'utf8'));
  }
});

test('nothing is left out that is not shown', () => {
  const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
  const texts = ['README.md', ...pages.map((name) => `docs/${name}`)].map((file) =>
    readFileSync(join(root, file), 'utf8'),
  );
  const commands = texts.flatMap((text) => blocksOf(text, 'sh')).flatMap(commandsOf);
  for (const beginning of Object.keys(notHere)) expect(commands).toContainEqual(expect.stringContaining(beginning));
});

async function runAll(text: string): Promise<void> {
  for (const block of blocksOf(text, 'sh')) {
    const commands = commandsOf(block).filter((command) => !isLeftOut(command));
    // Where one command uses what another has set, they are one.
    const together = commands.some((command) => /^\w+=/.test(command)) ? [commands.join('\n')] : commands;
    for (const command of together) await shell(await filledIn(command));
  }
}

function isLeftOut(command: string): boolean {
  return Object.keys(notHere).some((beginning) => command.startsWith(beginning));
}

/** One that is not as the reader has it by then is brought there first: asleep before a restore. */
async function filledIn(command: string): Promise<string> {
  if (command.startsWith('dormouse desktop restore')) {
    await shell('dormouse event send disconnected ada');
    await shell("dormouse desktop save ada --force --reason 'a test'");
  }
  const checkpoint = command.includes('<checkpoint>') ? await newestCheckpoint() : '';
  return command.replaceAll('<checkpoint>', checkpoint).replaceAll('http://127.0.0.1:7077', dormouse.url);
}

async function newestCheckpoint(): Promise<string> {
  const { stdout } = await shell('dormouse checkpoint list ada --json');
  return /"id":\s*"([0-9a-f-]{36})"/.exec(stdout)![1]!;
}

/** Runs it as a person would who waits for what they have asked for. @throws with what it has said when it fails */
async function shell(command: string): Promise<{ stdout: string }> {
  const cli = join(root, 'dist', 'apps', 'cli', 'main.js');
  const npm = `npm() { (cd '${root}' && unset DATA_DIR && command npm "$@"); }`;
  const prelude = `set -e -o pipefail; dormouse() { '${process.execPath}' '${cli}' "$@"; }; ${npm};`;
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], DATA_DIR: bed.dataDir };
  try {
    const done = await run('bash', ['-c', `${prelude}\n${command}`], { cwd: work, env, maxBuffer: 2 ** 24 });
    await settled();
    return done;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command}\nfails: ${stderr || stdout || String(error)}`, { cause: error });
  }
}

async function settled(): Promise<void> {
  for (;;) {
    const open: string[] = [];
    for await (const { id } of dormouse.api.desktops()) {
      const operations = await dormouse.api.operationsOf(id);
      open.push(...operations.filter(({ endedAt }) => endedAt === null).map((operation) => operation.id));
    }
    if (open.length === 0) return;
    await dormouse.api.operation(open[0]!);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, block]) => block!);
}

/** Lines that belong together, by their quotes, their backslashes and here-documents. */
function commandsOf(block: string): string[] {
  const commands: string[] = [];
  let current = '';
  let until: string | null = null;
  for (const line of block.split('\n')) {
    current += `${current === '' ? '' : '\n'}${line}`;
    if (until === null) until = /<<'(\w+)'$/.exec(line)?.[1] ?? null;
    else if (line === until) until = null;
    const withoutComment = current.replace(/(^|\s)#[^\n]*/g, '');
    const isOpen = until !== null || line.endsWith('\\') || (withoutComment.match(/'/g) ?? []).length % 2 === 1;
    if (isOpen) continue;
    if (withoutComment.trim() !== '') commands.push(current.trim());
    current = '';
  }
  return commands;
}
