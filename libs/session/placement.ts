/** What is known of a host when a machine is to be placed. What a host does not say of itself is null and hinders nothing. */
export interface HostStanding {
  readonly id: string;
  /** Heard from lately. */
  readonly alive: boolean;
  /** Takes machines: nobody has cordoned it. */
  readonly open: boolean;
  readonly memoryMiB: number | null;
  /** Of the machines that are on it, or on their way to it. */
  readonly usedMiB: number;
  readonly qemuVersion: string | null;
  readonly accelerator: string | null;
  /** Hosts that name the same storage read the same checkpoints. */
  readonly storage: string | null;
  /** Hosts that name the same disks have the same layers. */
  readonly disks: string | null;
}

/** A machine that is to be started somewhere. */
export interface PlacementWish {
  readonly memoryMiB: number;
  /** Where it was last; null when it has never been anywhere. */
  readonly lastHostId: string | null;
  /** The last host has what others would have to fetch: it is taken as long as there is room. */
  readonly staysIfItCan: boolean;
  /** It has disk layers: only hosts with the disks of the last one have them. */
  readonly hasLayers: boolean;
  /** It has a checkpoint: only hosts with the storage of the last one can read it, and only those that build the same machine can wake it. */
  readonly hasCheckpoint: boolean;
  readonly fingerprint: Readonly<Record<string, unknown>> | null;
}

export type Placement =
  | { readonly hostId: string }
  /** Why not, for each host. */
  | { readonly hostId: null; readonly reasons: Readonly<Record<string, string>> };

/**
 * Where a machine goes: where it was if that is of use, else where most memory is free. A checkpoint that no host can build
 * the machine of goes to its own, whose worker says what has become unlike: waiting would not mend it.
 */
export function place(hosts: readonly HostStanding[], wish: PlacementWish): Placement {
  const last = hosts.find(({ id }) => id === wish.lastHostId) ?? null;
  const hindrances = new Map(hosts.map((host) => [host.id, hindrance(host, wish, last)]));
  const free = hosts.filter(({ id }) => hindrances.get(id) === null);
  const fitting = free.filter((host) => unlike(host, wish) === null);
  const lastIs = (among: readonly HostStanding[]): boolean => last !== null && among.includes(last);
  if (fitting.length === 0 && lastIs(free)) return { hostId: last!.id };
  if (fitting.length === 0) {
    const reasons = hosts.map((host) => [host.id, hindrances.get(host.id) ?? unlike(host, wish) ?? ''] as const);
    return { hostId: null, reasons: Object.fromEntries(reasons) };
  }
  return { hostId: wish.staysIfItCan && lastIs(fitting) ? last!.id : fitting.reduce(roomier).id };
}

/** Why a machine cannot be on this host, in words that follow the host's name; null when it can. */
function hindrance(host: HostStanding, wish: PlacementWish, last: HostStanding | null): string | null {
  if (!host.alive) return 'is not heard from';
  if (!host.open) return 'takes no machines';
  if (wish.lastHostId !== host.id) {
    if (wish.hasLayers && !same(last?.disks, host.disks)) return `does not have the disks of ${wish.lastHostId}`;
    if (wish.hasCheckpoint && !same(last?.storage, host.storage)) {
      return `does not have the storage of ${wish.lastHostId}`;
    }
  }
  if (host.memoryMiB !== null && host.usedMiB + wish.memoryMiB > host.memoryMiB) {
    return `has ${Math.max(0, host.memoryMiB - host.usedMiB)} MiB free of ${host.memoryMiB}, and ${wish.memoryMiB} are needed`;
  }
  return null;
}

/** What this host would build otherwise than the checkpoint's machine, as far as it has told; null: nothing. */
function unlike(host: HostStanding, { hasCheckpoint, fingerprint }: PlacementWish): string | null {
  if (!hasCheckpoint) return null;
  for (const trait of ['qemuVersion', 'accelerator'] as const) {
    const saved = fingerprint?.[trait];
    if (typeof saved === 'string' && host[trait] !== null && host[trait] !== saved) {
      return `has ${trait} ${host[trait]}, and the checkpoint was made on ${saved}`;
    }
  }
  return null;
}

/** What is not known is not the same: a machine whose disks may be elsewhere stays where they are for certain. */
function same(one: string | null | undefined, other: string | null): boolean {
  return other !== null && one === other;
}

function roomier(one: HostStanding, other: HostStanding): HostStanding {
  const free = ({ memoryMiB, usedMiB }: HostStanding): number => (memoryMiB ?? Infinity) - usedMiB;
  if (free(one) === free(other)) return one.usedMiB <= other.usedMiB ? one : other;
  return free(one) > free(other) ? one : other;
}
