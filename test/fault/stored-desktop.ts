import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CheckpointWriter, PreviousCheckpoint } from '@dormouse/checkpoint';
import { verifyCheckpoint } from '@dormouse/checkpoint-tools';
import { LayerCollector, StoreCollector, type GarbageLedger } from '@dormouse/garbage';
import { openBlobStore, type BlobStore } from '@dormouse/storage';
import { DiskContents } from '../../apps/pager/capture/disk-contents';
import { hasher, keys, wakePack, wild } from '../../libs/checkpoint/checkpoint-fixture';
import type { LedgerFixture } from '../integration/ledger-fixture';

const run = promisify(execFile);
const page = 4096;
const cluster = 16;
const virtualBytes = 8 * 2 ** 20;

/** Storage and disks of one host, in a directory of their own. */
export class StoredHost {
  private constructor(
    readonly fixture: LedgerFixture,
    readonly directory: string,
    readonly store: BlobStore,
  ) {}

  static async make(fixture: LedgerFixture): Promise<StoredHost> {
    const directory = await mkdtemp(join(tmpdir(), 'dormouse-garbage-'));
    const host = new StoredHost(fixture, directory, await openBlobStore(`file://${directory}/storage`));
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', host.image, String(virtualBytes)]);
    return host;
  }

  get image(): string {
    return join(this.directory, 'image.qcow2');
  }

  get disksDir(): string {
    return join(this.directory, 'disks');
  }

  get storeUrl(): string {
    return `file://${this.directory}/storage`;
  }

  /** Collects at the fixture's time, which is ahead of the clock's; its `graceMs` is 0 unless it is said. */
  objects(changes: { store?: BlobStore; ledger?: GarbageLedger; graceMs?: number; dryRun?: boolean } = {}) {
    return new StoreCollector({ ...this.common(), ...changes });
  }

  layers(changes: { graceMs?: number; dryRun?: boolean } = {}): LayerCollector {
    return new LayerCollector({
      ...this.common(),
      hostId: 'host-1',
      disksDir: this.disksDir,
      runRoot: join(this.directory, 'run'),
      qemuImg: 'qemu-img',
      forget: (desktopId) => rm(join(this.disksDir, desktopId), { recursive: true }),
      ...changes,
    });
  }

  async remove(): Promise<void> {
    await this.store.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  private common() {
    const { store, fixture } = this;
    return { store, ledger: fixture.ledger, graceMs: 0, now: () => fixture.nowMs + 60_000 };
  }
}

/**
 * A desktop that sleeps and wakes without a guest: ledger, storage, checkpoints and disk layers are real; its memory is pages
 * that are made up, some of which stand in its disk layers.
 */
export class StoredDesktop {
  /** How often it was in use, counted from ten: what it has in memory is made from this and the two before. */
  private session = 10;

  private constructor(
    readonly host: StoredHost,
    readonly id: string,
  ) {}

  /** Booted, and in use. */
  static async boot(host: StoredHost, id: string): Promise<StoredDesktop> {
    const { fixture } = host;
    const desktop = new StoredDesktop(host, id);
    await mkdir(desktop.layersDir, { recursive: true });
    await fixture.off(id);
    await fixture.send(id, 'connected');
    const { fence, operation } = await fixture.claimOpen(id, 'boot');
    await desktop.createLayer(operation.id, host.image);
    await fixture.ledger.finish(fence, {
      status: 'succeeded',
      desktop: { hostId: 'host-1', diskGeneration: operation.id },
    });
    return desktop;
  }

  get layersDir(): string {
    return join(this.host.disksDir, this.id);
  }

  /** Its user works, leaves, and it sleeps. @returns the checkpoint */
  async sleep(store = this.host.store): Promise<string> {
    const { fixture } = this.host;
    const { ledger } = fixture;
    const fence = await this.beginSave();
    const checkpointId = await this.write(fence, store);
    expect(await ledger.authorizeSwitchover(fence)).toBe(true);
    const storagePrefix = `desktops/${this.id}/checkpoints/${checkpointId}/`;
    const { diskGeneration } = await ledger.viewDesktop(this.id);
    const facts = { id: checkpointId, storagePrefix, diskGeneration, ramBytes: 1, storedBytes: 1, facts: {} };
    expect(await ledger.commitCheckpoint(fence, facts)).toBe(true);
    expect(await ledger.beginRelease(fence)).toBe(true);
    await ledger.finish(fence, { status: 'succeeded' });
    return checkpointId;
  }

  /** Its save stores everything but the manifest, and fails; its user returns. */
  async sleepInVain(): Promise<void> {
    const fence = await this.beginSave();
    await this.write(fence, this.host.store, false);
    await this.host.fixture.ledger.finish(fence, {
      status: 'failed',
      error: { code: 'STORAGE_FAILED', message: 'for a test', details: {} },
    });
    await this.host.fixture.send(this.id, 'connected');
  }

  async wake(): Promise<void> {
    const { fixture } = this.host;
    await fixture.send(this.id, 'connected');
    const { fence, operation, checkpoint } = await fixture.claimOpen(this.id, 'restore');
    await this.createLayer(operation.id, `${checkpoint!.diskGeneration}.0.qcow2`);
    expect(await fixture.ledger.guestRan(fence, {})).toBe(true);
    await fixture.ledger.finish(fence, { status: 'succeeded', desktop: { diskGeneration: operation.id } });
  }

  async durable(): Promise<string[]> {
    const { checkpoints } = await this.host.fixture.ledger.desktopHoldings(this.id);
    return checkpoints.filter(({ state }) => state === 'durable').map(({ id }) => id);
  }

  /** Every checkpoint that is kept is whole, the disk blocks it names included. */
  async expectWhole(): Promise<void> {
    for (const checkpointId of await this.durable()) {
      const { findings, depth } = await verifyCheckpoint({
        desktopId: this.id,
        checkpointId,
        store: this.host.store,
        keys,
        diskFiles: (source) => (source.startsWith('image') ? this.host.image : this.layerFile(source.split('/')[0]!)),
      });
      expect({ checkpointId, depth, findings }).toEqual({ checkpointId, depth: 'contents', findings: [] });
    }
  }

  layerFile(generation: string): string {
    return join(this.layersDir, `${generation}.0.qcow2`);
  }

  /** What a machine sees that has this layer for its disk. */
  async diskContent(generation: string): Promise<Buffer> {
    const raw = join(this.host.directory, `${randomUUID()}.raw`);
    await run('qemu-img', ['convert', '-U', '-O', 'raw', this.layerFile(generation), raw]);
    const content = await readFile(raw);
    await rm(raw);
    return content;
  }

  private async beginSave() {
    const { fixture } = this.host;
    await this.work();
    await fixture.send(this.id, 'disconnected');
    await fixture.waitOutGrace(this.id);
    return (await fixture.claimOpen(this.id, 'save')).fence;
  }

  /** Writes to the disk. */
  private async work(): Promise<void> {
    this.session++;
    const { diskGeneration } = await this.host.fixture.ledger.viewDesktop(this.id);
    const content = join(this.host.directory, `${this.id}.content`);
    await writeFile(content, Buffer.concat(this.written(this.session)));
    const place = (this.session % 5) * 3 * cluster * page;
    const write = `write -q -s ${content} ${place} ${cluster * page}`;
    await run('qemu-io', ['-f', 'qcow2', '-c', write, this.layerFile(diskGeneration!)]);
  }

  private written(session: number): Buffer[] {
    return Array.from({ length: cluster }, (_, n) => wild(100_000 + session * 100 + n));
  }

  private async write(
    fence: { desktopId: string; operationId: string; generation: number; attempt: number },
    store: BlobStore,
    whole = true,
  ): Promise<string> {
    const { ledger } = this.host.fixture;
    const identity = { desktopId: this.id, checkpointId: randomUUID() };
    const { checkpointId: previousId, diskGeneration } = await ledger.viewDesktop(this.id);
    const kept = await ledger.keptGenerations(this.id);
    const storagePrefix = `desktops/${this.id}/checkpoints/${identity.checkpointId}/`;
    expect(await ledger.beginCheckpoint(fence, { id: identity.checkpointId, storagePrefix })).toBe(true);
    const previous =
      previousId === null
        ? null
        : await PreviousCheckpoint.load(store, { ...identity, checkpointId: previousId }, keys.dataKey, (source) =>
            kept.includes(source.split('/')[0]!),
          );
    const disks = new DiskContents({ images: [this.host.image], layers: this.layersDir }, [null], diskGeneration);
    try {
      await disks.scanLayers(hasher);
      const pages = this.memory();
      const blocks = [{ name: 'pc.ram', bytes: pages.length * page }];
      const writer = new CheckpointWriter(store, identity, blocks, { keys, hasher, previous, disks });
      for (const [n, content] of pages.entries()) {
        if (content === null) writer.addZeroPage(n);
        else writer.addPage(n, content, 0);
      }
      const sealed = await writer.seal(wakePack, {
        fingerprint: {},
        diskGeneration,
        createdAt: '2026-01-02T03:04:05Z',
      });
      if (whole) await writer.commit(sealed);
    } finally {
      disks.close();
    }
    return identity.checkpointId;
  }

  /** Some that stay, some of this session and of those before, and what stands on the disk. */
  private memory(): (Buffer | null)[] {
    const { session } = this;
    return [
      ...Array.from({ length: 24 }, (_, n) => wild(1 + n)),
      ...Array.from({ length: 24 }, (_, n) => wild(1_000 * (session - (n % 3)) + n)),
      ...this.written(session).slice(0, 8),
      ...this.written(session - 1).slice(0, 4),
      null,
    ];
  }

  /** It has its name when it is whole, as those of the hypervisor have; but whoever collects at a later time finds no unfinished file. */
  private async createLayer(generation: string, backing: string): Promise<void> {
    const unfinished = join(this.host.directory, `${generation}.qcow2`);
    const over = ['-u', '-b', backing, '-F', 'qcow2']; // the name is relative to where the layer will be
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...over, unfinished, String(virtualBytes)]);
    await rename(unfinished, this.layerFile(generation));
  }
}
