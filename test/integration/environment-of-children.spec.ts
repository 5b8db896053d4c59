import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { TestBed } from '../scenario/test-bed';

/**
 * What a guest finds that has taken its QEMU over, and whoever takes over a pager by what it reads: their environment. Ours holds the
 * database's password, keys and tokens.
 */
jest.setTimeout(300_000);

const mark = randomUUID();
const settings = {
  ADMIN_KEY: `admin-${mark}`,
  VAULT_TOKEN: `vault-${mark}`,
  SECRET_OF_THE_OPERATOR: `operator-${mark}`,
} as const;

let bed: TestBed;
afterAll(() => bed?.end());

test('only the launcher, the api and the worker have our environment: not QEMU, pagers, or embedded services', async () => {
  bed = await TestBed.make();
  // What is left of the memory comes slowly: the pager is still there when its environment is looked at.
  const dormouse = await bed.start({ ...settings, WAKE_MANNER: '{"restMs":60000,"longestMs":90000}' });
  const { databaseUrl } = await dormouse.services();
  const { desk, guest } = await bed.desktop(dormouse, 'ada', { memoryMiB: 128, fillMiB: 8 });
  guest.close();
  await desk.does('save');
  await dormouse.api.command('ada', 'restore', { reason: 'a test' });
  await desk.until(({ state }) => state === 'hydrating');

  const [qemuPid, pagerPid] = [await desk.process('qemu'), await desk.process('pager')];
  const processes = await environments();
  const having = (text: string): string[] =>
    processes.filter(({ environment }) => environment.includes(text)).map(({ program }) => program);
  const ours = [/launcher\/main\.js/, /api\/main\.js/, /worker\/main\.js/];
  expect(having(mark)).toHaveLength(ours.length);
  for (const program of ours) expect(having(mark)).toContainEqual(expect.stringMatching(program));
  expect(having(`ADMIN_KEY=admin-${mark}`)).not.toContainEqual(expect.stringMatching(/worker\/main\.js/));
  expect(having(databaseUrl).filter((program) => !ours.some((one) => one.test(program)))).toEqual([]);

  // Both were looked at, and hide nothing from us.
  for (const child of [qemuPid, pagerPid]) {
    expect(processes.find(({ pid }) => pid === child)?.environment).toContain('PATH=');
  }
});

interface Found {
  readonly pid: number;
  readonly program: string;
  readonly environment: string;
}

async function environments(): Promise<Found[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const read = (path: string): Promise<string> => readFile(path, 'latin1').catch(() => ''); // it has ended
  return Promise.all(
    pids.map(async (pid) => ({
      pid: Number(pid),
      program: (await read(`/proc/${pid}/cmdline`)).replaceAll('\0', ' '),
      environment: await read(`/proc/${pid}/environ`),
    })),
  );
}
