import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { QemuHypervisor, RunDirectory, type Machine } from '@dormouse/hypervisor';
import { isProcessAlive, parseProcessIdentity, type ProcessIdentity } from '@dormouse/process';
import { parseLaunchSpec, socketNames } from '@dormouse/qemu';
import { openBlobStore } from '@dormouse/storage';
import { defaultGuestCache, ensureGuestImage, GuestClient, runInGuest, type GuestImage } from '../guest';
import { qemuBinaries } from '../qemu';
import { guestLaunchSpec } from '../scenario';
import { never, save } from './saved-machine';

/**
 * What a guest reaches of its host, and who reaches the guest: real guests, and beside the host a network namespace that stands for
 * everybody else. Needs root for that.
 */
jest.setTimeout(300_000);

const run = promisify(execFile);
const asRoot = process.getuid?.() === 0 ? describe : describe.skip;
const hasPasst = (process.env['PATH'] ?? '').split(':').some((folder) => existsIn(folder, 'passt'));
const withPasst = hasPasst ? test : test.skip;

const mac = '52:54:00:d0:b3:07';
const bridge = `dmt${process.pid}`.slice(0, 12);
const outside = `${bridge}o`;
const [hostAddress, outsideAddress, guestAddress] = ['10.213.7.1', '10.213.7.2', '10.213.7.3'];

let image: GuestImage;
let directory: string;
let secrets: Server;
let asked = 0;

asRoot('guests and networks', () => {
  beforeAll(async () => {
    image = await ensureGuestImage(defaultGuestCache());
    directory = await mkdtemp(join(tmpdir(), 'dormouse-networks-'));
    await (await openBlobStore(`file://${directory}/storage`)).close();
    // As Redis listens, on the host's loopback, and says what only the host may hear.
    secrets = createServer((socket) => {
      asked += 1;
      socket.on('error', () => undefined);
      socket.end('secret\n');
    });
    await new Promise<void>((resolve) => secrets.listen(0, '127.0.0.1', resolve));
    await ip('link', 'add', bridge, 'type', 'bridge');
    await ip('addr', 'add', `${hostAddress}/24`, 'dev', bridge);
    await ip('link', 'set', bridge, 'up');
    await ip('netns', 'add', outside);
    await ip('link', 'add', `${bridge}v`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside);
    await ip('link', 'set', `${bridge}v`, 'master', bridge, 'up');
    await ip('-n', outside, 'addr', 'add', `${outsideAddress}/24`, 'dev', 'eth0');
    await ip('-n', outside, 'link', 'set', 'eth0', 'up');
  });

  afterAll(async () => {
    secrets?.close();
    await ip('netns', 'delete', outside).catch(() => undefined);
    await ip('link', 'delete', bridge).catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
  });

  describe.each(qemuBinaries())('with %s', (qemu) => {
    let hypervisor: QemuHypervisor;
    let version: string;

    beforeAll(async () => {
      hypervisor = new QemuHypervisor({
        qemu,
        qemuImg: 'qemu-img',
        accelerator: 'auto',
        runRoot: join(directory, 'run'),
        diskRoot: join(directory, 'disks'),
        storageUrl: `file://${directory}/storage`,
        pagerProgram: join(process.cwd(), 'dist', 'apps', 'pager', 'main.js'),
        machinesInWaiting: 1,
      });
      version = /^\d+\.\d+/.exec((await hypervisor.probe()).qemuVersion)![0];
    });
    afterAll(() => hypervisor?.close());

    function machine(nics: object[]): { desktop: Machine; directoryOf: RunDirectory; agent: string } {
      const desktopId = `desk-${randomUUID()}`;
      const spec = { ...guestLaunchSpec(image, 160), machine: `pc-q35-${version}`, nics };
      const directoryOf = new RunDirectory(join(directory, 'run'), desktopId);
      return {
        desktop: { desktopId, launchSpec: parseLaunchSpec(spec), diskGeneration: 'one' },
        directoryOf,
        agent: directoryOf.file(socketNames.agent),
      };
    }

    async function booted(desktop: Machine): Promise<void> {
      await hypervisor.examine(desktop);
      await hypervisor.boot(desktop, null);
      await hypervisor.awaitGuest(desktop, 120_000, never);
    }

    async function sleptAndWoken(desktop: Machine, directoryOf: RunDirectory): Promise<void> {
      const target = await save(hypervisor, desktop);
      const wake = await hypervisor.wake({ ...desktop, diskGeneration: 'two' }, target, 'one');
      await hypervisor.greet(desktop, 60_000, never);
      await wake.hydrated(() => undefined);
      const guest = await GuestClient.connect(directoryOf.file(socketNames.probe));
      await guest.ping({ timeoutMs: 60_000 });
      guest.close();
    }

    test('a card that says nothing reaches no service of the host; one on a bridge is reached from outside; before and after a wake', async () => {
      const { desktop, directoryOf, agent } = machine([{}, { mac, network: { type: 'bridge', bridge } }]);
      try {
        await booted(desktop);
        await runInGuest(
          agent,
          'echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip addr add 10.0.2.15/24 dev eth0 && ip -6 addr add fec0::15/64 dev eth0',
        );
        await runInGuest(agent, `ip link set eth1 up && ip addr add ${guestAddress}/24 dev eth1`);
        await runInGuest(agent, '(nc -ll -p 8080 -e /bin/echo from the guest >/dev/null 2>&1 </dev/null &)');
        for (const moment of ['before', 'after']) {
          if (moment === 'after') await sleptAndWoken(desktop, directoryOf);
          const { port } = secrets.address() as { port: number };
          const before = asked;
          for (const host of ['10.0.2.2', '10.0.2.3', 'fec0::2']) {
            expect(await runInGuest(agent, `nc -w 2 ${host} ${port} </dev/null || echo closed`)).toContain('closed');
          }
          expect(asked).toBe(before);
          // The same request where a way was made for it.
          expect(await answerTo(guestAddress, 8080)).toBe('from the guest');
          const outsider = await listenOutside(8081);
          expect(await runInGuest(agent, `nc -w 5 ${outsideAddress} 8081 </dev/null`)).toBe('from outside');
          outsider();
        }
      } finally {
        await hypervisor.forget(desktop.desktopId);
      }
      expect(await tapsOnBridge()).toEqual([`${bridge}v`]);
    });

    withPasst(
      'a card with passt does not reach the host’s loopback; a passt that dies takes the network alone, and each start has its own',
      async () => {
        const { desktop, directoryOf, agent } = machine([{ network: { type: 'passt' } }]);
        const passtOf = async (): Promise<ProcessIdentity> =>
          parseProcessIdentity(JSON.parse(await readFile(directoryOf.file('passt-0.json'), 'utf8')))!;
        try {
          await booted(desktop);
          const first = await passtOf();
          const { address, gateway } = await hostsOwn();
          await runInGuest(agent, `ip addr add ${address} dev eth0 && ip route add default via ${gateway}`);
          const { port } = secrets.address() as { port: number };
          const before = asked;
          expect(await runInGuest(agent, `nc -w 2 ${gateway} ${port} </dev/null || echo closed`)).toContain('closed');
          expect(asked).toBe(before);
          process.kill(first.pid, 'SIGKILL');
          await sleptAndWoken(desktop, directoryOf);
          const second = await passtOf();
          expect([isProcessAlive(first), isProcessAlive(second)]).toEqual([false, true]);
          await hypervisor.release(desktop.desktopId);
          expect(isProcessAlive(second)).toBe(false);
        } finally {
          await hypervisor.forget(desktop.desktopId);
        }
      },
    );

    test('a bridge that is not there is said by its name, and leaves nothing', async () => {
      const { desktop } = machine([{ mac, network: { type: 'bridge', bridge: 'dm-nowhere' } }]);
      await expect(hypervisor.examine(desktop)).rejects.toMatchObject({
        code: 'LAUNCH_SPEC_INVALID',
        message: expect.stringContaining('dm-nowhere') as string,
      });
      expect((await run('ip', ['-o', 'link'])).stdout).not.toMatch(/\bdm[0-9a-f]{10}\b/);
    });
  });
});

async function ip(...args: string[]): Promise<void> {
  await run('ip', args);
}

async function tapsOnBridge(): Promise<string[]> {
  const { stdout } = await run('ip', ['-o', 'link', 'show', 'master', bridge]);
  return [...stdout.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name]) => name!);
}

/** The address with its prefix, and the gateway, that passt gives its guest. */
async function hostsOwn(): Promise<{ address: string; gateway: string }> {
  const { stdout: route } = await run('ip', ['-4', 'route', 'show', 'default']);
  const [, gateway, device] = /via (\S+) dev (\S+)/.exec(route)!;
  const { stdout } = await run('ip', ['-4', '-o', 'addr', 'show', 'dev', device!]);
  return { address: /inet (\S+)/.exec(stdout)![1]!, gateway: gateway! };
}

/** What a service answers whoever connects from the namespace. */
async function answerTo(host: string, port: number): Promise<string> {
  const program = `
    const socket = require('net').connect(${port}, '${host}');
    socket.setTimeout(20000, () => socket.destroy(new Error('no answer')));
    socket.on('error', (error) => { console.error(error.message); process.exit(1); });
    socket.pipe(process.stdout);`;
  return (await run('ip', ['netns', 'exec', outside, process.execPath, '-e', program])).stdout.trim();
}

/** @returns what ends it */
async function listenOutside(port: number): Promise<() => void> {
  const program = `require('net').createServer((socket) => socket.end('from outside\\n')).listen(${port}, '${outsideAddress}', () => console.log('up'))`;
  const child = execFile('ip', ['netns', 'exec', outside, process.execPath, '-e', program]);
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  return () => void child.kill('SIGKILL');
}

function existsIn(folder: string, program: string): boolean {
  try {
    return statSync(join(folder, program)).isFile();
  } catch {
    return false;
  }
}
