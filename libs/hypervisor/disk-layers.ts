import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { shareWithGroup } from '@dormouse/files';
import { runProgram, type ProcessUser } from '@dormouse/process';
import { writableDisks, type LaunchSpec } from '@dormouse/qemu';
import { safeName } from '@dormouse/text';
import type { PlacedDisk } from './images/known-images';
import { layerName, parseLayerName, preparedOn, unfinishedSuffix } from './layers/layer-names';
import { unlessGone } from './layers/survey-layers';
import { isWrittenLayer } from './layers/written-layer';

/**
 * The layers (qcow2 overlays) of a desktop's disks: `<root>/<desktop>/<generation>.<disk>.qcow2`. Each wake writes to a
 * layer of its own on top of the one sealed with its checkpoint, so a wake that fails before its guest runs costs nothing and the same
 * checkpoint can be woken again with the disk of its own instant. What a guest has written stays.
 */
export class DiskLayers {
  constructor(
    private readonly root: string,
    private readonly qemuImg: string,
  ) {}

  /** The files of a generation, one for each writable disk. */
  files(desktopId: string, launchSpec: LaunchSpec, generation: string | null): string[] {
    return writableDisks(launchSpec).map((_, disk) => this.file(desktopId, generation ?? '', disk));
  }

  /** Makes a generation on top of `parent`, or of the golden images. Layers that are there already stay as they are. */
  async create(
    desktopId: string,
    disks: readonly PlacedDisk[],
    generation: string,
    parent: string | null,
  ): Promise<void> {
    await mkdir(this.directory(desktopId), { recursive: true, mode: 0o700 });
    for (const [disk, { image, format, isNew }] of disks.entries()) {
      const file = this.file(desktopId, generation, disk);
      if (await exists(file)) continue;
      if (parent !== null && (await renamed(this.file(desktopId, preparedOn(parent), disk), file))) continue;
      const hasParent = parent !== null && !(isNew && !(await exists(this.file(desktopId, parent, disk))));
      const backing = !hasParent ? { name: image, format } : { name: layerName(parent, disk), format: 'qcow2' };
      await this.createOverlay(file, backing);
    }
  }

  /**
   * Lets a QEMU of another user write to a generation, and read what it lies on. Layers stay ours: it cannot give itself more. Whoever passes
   * through the folder has to know their names.
   */
  async share(
    desktopId: string,
    launchSpec: LaunchSpec,
    generation: string | null,
    { gid }: ProcessUser,
  ): Promise<void> {
    const directory = this.directory(desktopId);
    const written = new Set(this.files(desktopId, launchSpec, generation));
    for (const name of (await unlessGone(readdir(directory))) ?? []) {
      if (parseLayerName(name) === null) continue;
      const file = join(directory, name);
      // A collector may be at the folder, too.
      await unlessGone(shareWithGroup(file, gid, written.has(file) ? 0o660 : 0o640));
    }
    await unlessGone(shareWithGroup(directory, gid, 0o710));
  }

  /** Makes the next layer while nobody waits. */
  async prepare(
    desktopId: string,
    launchSpec: LaunchSpec,
    disks: readonly PlacedDisk[],
    parent: string,
  ): Promise<void> {
    await this.remove(desktopId, launchSpec, preparedOn(parent));
    await this.create(desktopId, disks, preparedOn(parent), parent);
  }

  /** @returns false when a guest has written to one of them: then all of them stay */
  async removeUnwritten(desktopId: string, launchSpec: LaunchSpec, generation: string): Promise<boolean> {
    if (await this.isWritten(desktopId, launchSpec, generation)) return false;
    await this.remove(desktopId, launchSpec, generation);
    return true;
  }

  /** Whether a guest has written to a layer of this generation. */
  async isWritten(desktopId: string, launchSpec: LaunchSpec, generation: string): Promise<boolean> {
    const written = await Promise.all(this.files(desktopId, launchSpec, generation).map(isWrittenLayer));
    return written.includes(true);
  }

  private async remove(desktopId: string, launchSpec: LaunchSpec, generation: string): Promise<void> {
    for (const file of this.files(desktopId, launchSpec, generation)) await rm(file, { force: true });
  }

  async removeAll(desktopId: string): Promise<void> {
    await rm(this.directory(desktopId), { recursive: true, force: true });
  }

  directory(desktopId: string): string {
    return join(this.root, safeName(desktopId));
  }

  private async createOverlay(file: string, backing: { name: string; format: string }): Promise<void> {
    const unfinished = `${file}${unfinishedSuffix}`; // killed half way, a layer must not look like one
    try {
      await runProgram('qemuImg', this.qemuImg, [
        ...['create', '-q', '-f', 'qcow2', '-b', backing.name, '-F', backing.format, unfinished],
      ]);
    } catch (cause) {
      if (isDormouseError(cause)) throw cause;
      const reason = (cause as { stderr?: string }).stderr?.trim() ?? String(cause);
      await rm(unfinished, { force: true });
      const code = /no space left|quota exceeded/i.test(reason) ? 'DISKS_FULL' : 'DISK_LAYER_FAILED';
      const message = `no disk layer could be made on ${backing.name} in ${this.root}: ${reason}`;
      throw new DormouseError(code, message, { directory: this.root }, { cause });
    }
    await rename(unfinished, file);
  }

  private file(desktopId: string, generation: string, disk: number): string {
    return join(this.directory(desktopId), layerName(generation, disk));
  }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? false : Promise.reject(error)),
  );
}

async function renamed(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? false : Promise.reject(error)),
  );
}
