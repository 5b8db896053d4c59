import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, realpath, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { diskName, type LaunchSpec } from '@dormouse/qemu';
import { safeName } from '@dormouse/text';
import { chainOf, digestOf, identityOf, isSame, keyOf, type FileIdentity } from './image-identity';

interface KnownFile extends FileIdentity {
  /** Of its content; null until it was read. */
  readonly digest: string | null;
}

/** What lies below the layers of a disk, or is all of a read-only one. */
interface KnownDisk {
  /** Among the writable disks: layers are numbered so. Null for a read-only one. */
  readonly place: number | null;
  /** As the spec named it then. */
  readonly image: string;
  /** QEMU opens the image by this name: it is read-only, or its first layers were made when images were not resolved. */
  readonly byName: boolean;
  readonly chain: readonly KnownFile[];
}

type KnownDisks = Readonly<Record<string, KnownDisk>>;

/** A disk of a spec, and what its layers lie on. */
export interface PlacedDisk {
  /** The golden image, without symbolic links. */
  readonly image: string;
  readonly format: string;
  /** Nothing was ever written to it: it has no layers yet. */
  readonly isNew: boolean;
}

/**
 * Which golden images the layers of each desktop lie on, and which its read-only disks are: noted when the first layer is made, and looked at again
 * before every boot and wake. A guest that ran on another image would find its file system torn, or what it has read of it no longer true.
 */
export class KnownImages {
  private readonly stopping = new AbortController();
  private readonly digests = new Map<string, string>();
  private reading: Promise<void> = Promise.resolve();
  private changing: Promise<void> = Promise.resolve();

  constructor(private readonly diskRoot: string) {}

  /**
   * The writable disks of a desktop, in the order of their layers. The images of all its disks are looked at.
   * @throws IMAGE_CHANGED when an image is another one, DISK_MOVED when a disk of the spec is not the one whose layers it would get,
   *   DISK_SOURCE_MISSING when an image is not there
   */
  async place(desktopId: string, launchSpec: LaunchSpec): Promise<readonly PlacedDisk[]> {
    const known = await this.read(desktopId);
    const found: Record<string, KnownDisk> = {};
    const placed: PlacedDisk[] = [];
    for (const { name, image } of readOnly(launchSpec)) {
      const before = known[name]?.image === image ? known[name] : undefined; // a spec may name another one
      const chain = before === undefined ? await firstSight(image) : await this.checked(name, before);
      found[name] = { place: null, image, byName: true, chain };
    }
    for (const { name, image, format, place } of writable(launchSpec)) {
      const before = known[name]?.place === null ? undefined : known[name];
      if (before !== undefined) checkPlace(desktopId, name, { image, place }, before);
      const chain = before === undefined ? await firstSight(image) : await this.checked(name, before);
      const byName = before?.byName ?? (await this.hasLayers(desktopId));
      found[name] = { place, image: before?.image ?? image, byName, chain };
      placed.push({ image: chain[0]!.path, format, isNew: before === undefined });
    }
    // Of a read-only disk that the spec does not have any more nothing is left; of others their layers are.
    const layered = (disks: KnownDisks): KnownDisks =>
      Object.fromEntries(Object.entries(disks).filter(([, { place }]) => place !== null));
    if (JSON.stringify(found) !== JSON.stringify(known))
      await this.change(desktopId, (now) => ({ ...layered(now), ...found }));
    this.readDigests(desktopId, found);
    return placed;
  }

  /** As `place`, and writes nothing: what an edited spec would do to a desktop that has layers. @throws DISK_MOVED */
  async checkEdit(desktopId: string, launchSpec: LaunchSpec): Promise<void> {
    const known = await this.read(desktopId);
    const disks = new Map(writable(launchSpec).map((disk) => [disk.name, disk]));
    for (const [name, before] of Object.entries(known)) {
      if (before.place === null) continue; // nothing was ever written to it
      const disk = disks.get(name);
      if (disk === undefined) {
        throw moved(
          desktopId,
          `the disk ${name} is not in the spec any more, and what the guest has written to it would be lost`,
        );
      }
      checkPlace(desktopId, name, disk, before);
    }
  }

  /** The images of the writable disks as they were found last. */
  async images(desktopId: string, launchSpec: LaunchSpec): Promise<readonly string[]> {
    const known = await this.read(desktopId);
    return writable(launchSpec).map(({ name, image }) => known[name]?.chain[0]?.path ?? image);
  }

  async forget(desktopId: string): Promise<void> {
    await rm(this.file(desktopId), { force: true });
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await this.reading;
  }

  /** @throws IMAGE_CHANGED, DISK_SOURCE_MISSING */
  private async checked(name: string, { image, byName, chain }: KnownDisk): Promise<readonly KnownFile[]> {
    if (byName && (await realpath(image).catch(() => null)) !== chain[0]!.path) throw changed(name, image, image);
    return Promise.all(
      chain.map(async (before) => {
        const now = await identityOf(before.path).catch((cause: unknown) => {
          throw missing(before.path, cause);
        });
        if (isSame(before, now)) return before;
        // Copied back, touched, linked: what counts is what is in it.
        if (before.digest !== null && now.bytes === before.bytes) {
          if ((await this.digest(now)) === before.digest) return { ...now, path: before.path, digest: before.digest };
        }
        throw changed(name, image, before.path);
      }),
    );
  }

  private async digest(file: FileIdentity): Promise<string> {
    const known = this.digests.get(keyOf(file));
    if (known !== undefined) return known;
    const digest = await digestOf(file.path, this.stopping.signal);
    if (isSame(await identityOf(file.path), file)) this.digests.set(keyOf(file), digest);
    return digest;
  }

  /** Beside everything else, one file after the other: with them an image that was only touched is known again. */
  private readDigests(desktopId: string, disks: KnownDisks): void {
    const files = Object.values(disks).flatMap(({ chain }) => chain);
    if (files.every(({ digest }) => digest !== null)) return;
    this.reading = this.reading
      .then(async () => {
        const digests = new Map<string, string>();
        for (const file of files) {
          if (this.stopping.signal.aborted) return;
          const digest = file.digest ?? (await this.digest(file));
          if (this.digests.has(keyOf(file))) digests.set(keyOf(file), digest);
        }
        await this.addDigests(desktopId, digests);
      })
      .catch(() => undefined); // without a digest an image that was touched counts as another one
  }

  private async addDigests(desktopId: string, digests: ReadonlyMap<string, string>): Promise<void> {
    await this.change(desktopId, (known) => {
      const disks = Object.entries(known).map(([name, disk]): [string, KnownDisk] => {
        const chain = disk.chain.map((file) => ({ ...file, digest: digests.get(keyOf(file)) ?? file.digest }));
        return [name, { ...disk, chain }];
      });
      return disks.length === 0 ? null : Object.fromEntries(disks);
    });
  }

  /** One change after the other: a digest that comes meanwhile must not undo what a boot has noted. */
  private change(desktopId: string, next: (known: KnownDisks) => KnownDisks | null): Promise<void> {
    const done = this.changing.then(async () => {
      const disks = next(await this.read(desktopId));
      if (disks !== null) await this.write(desktopId, disks);
    });
    this.changing = done.catch(() => undefined); // met by whoever has asked for the change
    return done;
  }

  private async read(desktopId: string): Promise<KnownDisks> {
    const text = await readFile(this.file(desktopId), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '{}';
      throw error;
    });
    const known = parse(text);
    if (known !== null) return known;
    const message = `${this.file(desktopId)} is damaged. It names the images below the layers of ${desktopId}: bring it back from a backup; or, if its images have not changed since, remove it`;
    throw new DormouseError('IMAGE_CHANGED', message, { desktopId });
  }

  /** Whole or not at all, also after a power cut. */
  private async write(desktopId: string, disks: KnownDisks): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const draft = `${this.file(desktopId)}.${randomUUID()}.new`;
    const handle = await open(draft, 'w', 0o600);
    try {
      await handle.writeFile(JSON.stringify(disks));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, this.file(desktopId));
  }

  private async hasLayers(desktopId: string): Promise<boolean> {
    const files = await readdir(join(this.diskRoot, safeName(desktopId))).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return files.length > 0;
  }

  private get directory(): string {
    return join(this.diskRoot, '.images', 'known');
  }

  private file(desktopId: string): string {
    return join(this.directory, `${safeName(desktopId)}.json`);
  }
}

function named({ disks }: LaunchSpec) {
  return disks.map((disk, at) => ({ ...disk, name: diskName(disk, at) }));
}

function writable(launchSpec: LaunchSpec) {
  return named(launchSpec)
    .filter((disk) => !disk.readOnly)
    .map((disk, place) => ({ ...disk, place }));
}

function readOnly(launchSpec: LaunchSpec) {
  return named(launchSpec).filter((disk) => disk.readOnly);
}

async function firstSight(image: string): Promise<readonly KnownFile[]> {
  try {
    return (await chainOf(image)).map((file) => ({ ...file, digest: null }));
  } catch (cause) {
    throw missing(image, cause);
  }
}

/** Null for what nobody has written so. */
function parse(text: string): KnownDisks | null {
  try {
    const known: unknown = JSON.parse(text);
    if (typeof known !== 'object' || known === null || Array.isArray(known)) return null;
    const isWhole = Object.values(known).every(
      (disk: Partial<KnownDisk> | null) => Array.isArray(disk?.chain) && disk.chain.length > 0,
    );
    return isWhole ? (known as KnownDisks) : null;
  } catch {
    return null;
  }
}

function checkPlace(
  desktopId: string,
  name: string,
  { image, place }: { image: string; place: number },
  before: KnownDisk,
): void {
  if (image !== before.image && image !== before.chain[0]!.path) {
    throw moved(desktopId, `the disk ${name} was made on ${before.image}, and would be on ${image}`);
  }
  if (place !== before.place) {
    throw moved(
      desktopId,
      `the disk ${name} was number ${(before.place ?? 0) + 1} of the writable disks, and would be number ${place + 1}`,
    );
  }
}

function moved(desktopId: string, what: string): DormouseError {
  const todo =
    'Add disks behind those that are there, under names of their own; for another image register another desktop, or delete this one first';
  return new DormouseError('DISK_MOVED', `${what}. ${todo}`, { desktopId });
}

function changed(name: string, image: string, path: string): DormouseError {
  const message = `${path}, which the disk ${name} was made on, is not the image it was. Put the old one back under this name (a copy will do); give a new image a name of its own, and register desktops on it`;
  return new DormouseError('IMAGE_CHANGED', message, { disk: name, image, path });
}

function missing(image: string, cause: unknown): DormouseError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new DormouseError('DISK_SOURCE_MISSING', `the image ${image} cannot be read: ${why}`, { image }, { cause });
}
