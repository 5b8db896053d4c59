import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { exportStream } from '@dormouse/checkpoint-tools';
import {
  QemuHypervisor,
  RunDirectory,
  type CheckpointTarget,
  type Machine,
  type QemuHypervisorOptions,
} from '@dormouse/hypervisor';
import { MigrationStreamReader, pageBytes } from '@dormouse/migration-stream';
import { parseLaunchSpec, QmpClient, socketNames } from '@dormouse/qemu';
import { openBlobStore } from '@dormouse/storage';
import { askAgent, defaultGuestCache, ensureGuestImage, GuestClient, runInGuest, type GuestImage } from '../guest';
import { qemuBinaries } from '../qemu';
import { guestLaunchSpec } from '../scenario';
import { freeze, never, save } from './saved-machine';

/**
 * The machines that desktops have, on each QEMU, through the driver port alone: what sleeps and wakes, and what is refused.
 */
jest.setTimeout(240_000);

const mebibyte = 2 ** 20;
const memoryMiB = 192;
const balloonMiB = 160;
const mac = '52:54:00:d0:b3:01';
const hugePages = '/proc/sys/vm/nr_hugepages';
const asRoot = process.getuid?.() === 0 ? test : test.skip;

/** Beside the devices that every machine has: serial ports, virtio-serial, -rng, -blk, -net. */
const desktopDevices = [
  ...['-device', 'virtio-balloon-pci', '-device', 'virtio-gpu-pci', '-device', 'virtio-scsi-pci'],
  ...['-device', 'qemu-xhci', '-device', 'usb-tablet', '-device', 'virtio-keyboard-pci'],
  ...['-audiodev', 'none,id=sound', '-device', 'intel-hda', '-device', 'hda-duplex,audiodev=sound'],
  // What passes the network card is written down, for a look at who was told of the wake.
  ...['-object', 'filter-dump,id=dump,netdev=net0,file=packets.pcap'],
];

let image: GuestImage;
let directory: string;
let options: Omit<QemuHypervisorOptions, 'qemu'>;
let hypervisor: QemuHypervisor;
let version: string;

describe.each(qemuBinaries())('with %s', (qemu) => {
  beforeAll(async () => {
    image = await ensureGuestImage(defaultGuestCache());
    directory = await mkdtemp(join(tmpdir(), 'dormouse-machines-'));
    options = {
      qemuImg: 'qemu-img',
      accelerator: 'auto',
      runRoot: join(directory, 'run'),
      diskRoot: join(directory, 'disks'),
      storageUrl: storageUrl(),
      pagerProgram: join(process.cwd(), 'dist', 'apps', 'pager', 'main.js'),
      machinesInWaiting: 0,
    };
    await (await openBlobStore(storageUrl())).close(); // as a worker does at its start
    hypervisor = new QemuHypervisor({ ...options, qemu });
    version = /^\d+\.\d+/.exec((await hypervisor.probe()).qemuVersion)![0];
  });

  afterAll(async () => {
    await hypervisor?.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** The test guest in a machine of this QEMU's own version. */
  function machine(chipset: string, more: object = {}): Machine {
    const desktopId = `desk-${randomUUID()}`;
    const spec = { ...guestLaunchSpec(image, memoryMiB), machine: `pc-${chipset}-${version}`, ...more };
    return { desktopId, launchSpec: parseLaunchSpec(spec), diskGeneration: 'one' };
  }

  test.each(['q35', 'i440fx'])(
    'a desktop on %s with two processors wakes with its memory, its devices and the right time',
    async (chipset) => {
      const nics = [{ model: 'virtio-net-pci', mac }];
      const desktop = machine(chipset, { cpus: 2, nics, display: 'vnc', extraArguments: desktopDevices });
      const run = new RunDirectory(join(directory, 'run'), desktop.desktopId);
      const agent = run.file(socketNames.agent);
      try {
        await hypervisor.examine(desktop);
        await hypervisor.boot(desktop, null);
        await hypervisor.awaitGuest(desktop, 120_000, never);
        const asleep = await GuestClient.connect(run.file(socketNames.probe));
        await asleep.ping({ timeoutMs: 60_000 });
        await runInGuest(agent, 'ip addr add 10.0.2.15/24 dev eth0');
        await useDevices(agent);
        await squeeze(run, balloonMiB);
        await asleep.fill(24);
        await asleep.write('before the night');
        const memory = { nonce: await asleep.nonce(), sum: await asleep.sum() };
        const screen = await screenOf(run);
        asleep.close();

        const target = await save(hypervisor, desktop);
        const wake = await hypervisor.wake({ ...desktop, diskGeneration: 'two' }, target, 'one');
        const clockSkewMs = await hypervisor.greet(desktop, 60_000, never);
        const awake = await GuestClient.connect(run.file(socketNames.probe));
        expect(clockSkewMs).toBeLessThanOrEqual(500);
        expect({ nonce: await awake.nonce(), sum: await awake.sum() }).toEqual(memory);
        expect(await awake.read()).toBe('before the night');
        await useDevices(agent);
        await wake.hydrated(() => undefined);
        const { 'postcopy-vcpu-blocktime': blockedMs } = await ask<Migration>(run, 'query-migrate');
        expect(blockedMs).toEqual([expect.any(Number), expect.any(Number)]); // each processor has its own

        expect(await awake.sum()).toBe(memory.sum);
        expect(await screenOf(run)).toEqual(screen);
        expect(await balloonOf(run)).toBe(balloonMiB);
        await squeeze(run, memoryMiB);
        await awake.fill(32);
        await awake.write('after the night');
        await useDevices(agent);
        expect(announcements(await readFile(run.file('packets.pcap')))).toBeGreaterThan(0);
        // Asked by another way than the one it was set by, so no nearer than the answer takes.
        const askedMs = Date.now();
        const guestMs = await awake.timeMs();
        expect(guestMs).toBeGreaterThan(askedMs - 500);
        expect(guestMs).toBeLessThan(Date.now() + 500);
        awake.close();
      } finally {
        await hypervisor.forget(desktop.desktopId);
      }
    },
  );

  test('what a guest writes while it is saved is in the checkpoint, to the last page', async () => {
    const desktop = machine('q35');
    const run = new RunDirectory(join(directory, 'run'), desktop.desktopId);
    try {
      await hypervisor.boot(desktop, null);
      const guest = await GuestClient.connect(run.file(socketNames.probe));
      await guest.ping({ timeoutMs: 120_000 });
      await guest.fill(8);
      for (let round = 1; round <= 2; round++) {
        await guest.dirty(4);
        const { capture, target } = await freeze(hypervisor, desktop);
        const frozen = await memoryOfMachine(run);
        await capture.commit(never);
        capture.close();
        expect({ round, unlike: pagesUnlike(await memoryInStorage(desktop, target), frozen) }).toEqual({
          round,
          unlike: [],
        });
        await hypervisor.thaw(desktop.desktopId);
        await guest.still();
      }
      guest.close();
    } finally {
      await hypervisor.forget(desktop.desktopId);
    }
  });

  asRoot('its program stays in memory while the driver is open, and no longer', async () => {
    const inMemory = async (): Promise<number> => (await lockedKiB()).filter((kiB) => kiB > 10 * 1024).length;
    const another = new QemuHypervisor({ ...options, qemu });
    await another.probe();
    await until(async () => (await inMemory()) === 2); // with that of all tests
    await another.close();
    await until(async () => (await lockedKiB()).length === 1);
  });

  // An emulated machine's own memory is no multiple of 2 MiB: here the huge pages are those of a device.
  asRoot('memory of huge pages is refused; it could be saved, and read back whole, but not come page by page', () =>
    withHugePages(4, async () => {
      const huge =
        '-object memory-backend-memfd,id=huge,size=2M,share=on,hugetlb=on -device ivshmem-plain,memdev=huge,master=on';
      const desktop = machine('q35', { extraArguments: huge.split(' ') });
      try {
        await expect(hypervisor.examine(desktop)).rejects.toMatchObject({
          code: 'DESKTOP_NOT_MIGRATABLE',
          message: expect.stringMatching(/^memory \S+ has pages of 2048 KiB: .*huge pages cannot be used/),
        });
        await hypervisor.boot(desktop, null);
        await hypervisor.awaitGuest(desktop, 120_000, never);
        const target = await save(hypervisor, desktop);
        const awake = { ...desktop, diskGeneration: 'two' };
        await expect(hypervisor.wake(awake, target, 'one')).rejects.toMatchObject({ code: 'MIGRATION_FAILED' });
        expect(await hypervisor.condition(desktop.desktopId)).toBe('absent');
        const wake = await hypervisor.wake(awake, target, 'one', 'eager');
        await hypervisor.greet(awake, 60_000, never);
        await wake.hydrated(() => undefined);
      } finally {
        await hypervisor.forget(desktop.desktopId);
      }
    }),
  );

  describe('a desktop is refused when it is registered', () => {
    test.each<[string, RegExp, string]>([
      [
        'an NVMe disk',
        /^QEMU says: .*nvme/,
        '-drive if=none,id=d,driver=null-co,size=1M -device nvme,serial=x,drive=d',
      ],
      [
        'virtio-crypto',
        /^QEMU says: .*virtio-crypto/,
        '-object cryptodev-backend-builtin,id=c -device virtio-crypto-pci,cryptodev=c',
      ],
      [
        'a folder of the host',
        /^virtio-9p-pci: .*mounted a folder/,
        '-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on',
      ],
      [
        'memory that comes and goes',
        /^virtio-mem-pci: /,
        '-m 192M,maxmem=1G -object memory-backend-ram,id=more,size=128M -device virtio-mem-pci,memdev=more',
      ],
      ['memory in a file', /^memory-backend-file: .*memory-backend-memfd/, '-mem-path memory'],
      ['a migration capability', /^migration capability multifd: /, '-global migration.x-multifd=on'],
    ])('with %s, and told why', async (_, reason, options) => {
      const extraArguments = options.split(' ');
      await expect(hypervisor.examine(machine('q35', { extraArguments }))).rejects.toMatchObject({
        code: 'DESKTOP_NOT_MIGRATABLE',
        message: expect.stringMatching(reason),
      });
    });
  });
});

interface Migration {
  readonly 'postcopy-vcpu-blocktime'?: readonly number[];
}

/** Lets the kernel have so many huge pages during the test, besides those it has. */
async function withHugePages(count: number, work: () => Promise<void>): Promise<void> {
  const before = Number(await readFile(hugePages, 'utf8'));
  await writeFile(hugePages, String(before + count));
  try {
    await work();
  } finally {
    await writeFile(hugePages, String(before));
  }
}

/** Main memory as QEMU holds it. */
async function memoryOfMachine(run: RunDirectory): Promise<Buffer> {
  await ask(run, 'pmemsave', { val: 0, size: memoryMiB * mebibyte, filename: 'memory' });
  return readFile(run.file('memory'));
}

/** Main memory as the checkpoint has it, read by the code that did not write it. */
async function memoryInStorage({ desktopId }: Machine, { checkpointId, keys }: CheckpointTarget): Promise<Buffer> {
  let main = -1;
  let memory = Buffer.alloc(0);
  const reader = new MigrationStreamReader({
    blocks: (blocks) => {
      main = blocks.findIndex(({ name }) => name === 'pc.ram');
      memory = Buffer.alloc(blocks[main]!.bytes);
    },
    zeroPage: () => undefined,
    page: (block, index, source, offset) => {
      if (block === main) source.copy(memory, index * pageBytes, offset, offset + pageBytes);
    },
  });
  const store = await openBlobStore(storageUrl());
  const diskFiles = (source: string): string =>
    source.startsWith('image') ? image.goldenImage : join(directory, 'disks', desktopId, 'one.0.qcow2');
  const dataKey = { keyId: keys.keyId, key: keys.dataKey };
  const options = { store, desktopId, checkpointId, diskFiles, keys: { dataKey, contentKey: keys.contentKey } };
  await exportStream(options, (chunk) => Promise.resolve(reader.push(chunk)));
  await store.close();
  return memory;
}

/** Pages above the first MiB, where video memory and firmware hide the memory of a PC. */
function pagesUnlike(one: Buffer, other: Buffer): number[] {
  const pages = Array.from({ length: (memoryMiB * mebibyte) / pageBytes }, (_, page) => page);
  return pages.filter((page) => {
    const [start, end] = [page * pageBytes, (page + 1) * pageBytes];
    return start >= mebibyte && one.compare(other, start, end, start, end) !== 0;
  });
}

/** Both processors, the network, the source of random numbers. */
async function useDevices(agent: string): Promise<void> {
  const { return: processors } = (await askAgent(agent, 'guest-get-vcpus')) as { return: { online: boolean }[] };
  expect(processors.map(({ online }) => online)).toEqual([true, true]);
  await runInGuest(agent, 'ping -c 1 -W 10 10.0.2.2');
  expect(await runInGuest(agent, 'head -c 64 /dev/hwrng | wc -c')).toBe('64');
}

function storageUrl(): string {
  return pathToFileURL(join(directory, 'storage')).href;
}

/** Of each child of ours that keeps its program in memory, what it has locked there. */
async function lockedKiB(): Promise<number[]> {
  const locked: number[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const read = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => '');
    const [command, status] = [await read('cmdline'), await read('status')];
    const isOurs = status.includes(`\nPPid:\t${process.pid}\n`);
    if (isOurs && command.includes('mem-lock=on')) locked.push(Number(/VmLck:\s+(\d+) kB/.exec(status)?.[1] ?? 0));
  }
  return locked;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20);
}

async function ask<T>(run: RunDirectory, command: string, args: Readonly<Record<string, unknown>> = {}): Promise<T> {
  const qmp = await QmpClient.connect(run.socket(socketNames.monitor));
  try {
    return await qmp.execute<T>(command, args);
  } finally {
    qmp.close();
  }
}

async function balloonOf(run: RunDirectory): Promise<number> {
  return (await ask<{ actual: number }>(run, 'query-balloon')).actual / mebibyte;
}

/** Resolves when the guest has given back, or taken, what lies between. */
async function squeeze(run: RunDirectory, mebibytes: number): Promise<void> {
  await ask(run, 'balloon', { value: mebibytes * mebibyte });
  while ((await balloonOf(run)) !== mebibytes) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** What the machine's display shows. */
async function screenOf(run: RunDirectory): Promise<Buffer> {
  await ask(run, 'screendump', { filename: 'screen.ppm' });
  return readFile(run.file('screen.ppm'));
}

/** Reverse ARP frames of the card (RFC 903), by which QEMU tells switches where a machine is now. */
function announcements(packets: Buffer): number {
  const sender = Buffer.from(mac.replaceAll(':', '') + '8035', 'hex');
  let count = 0;
  for (let at = packets.indexOf(sender); at >= 0; at = packets.indexOf(sender, at + 1)) count++;
  return count;
}
