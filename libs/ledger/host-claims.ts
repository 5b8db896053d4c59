import { DormouseError } from '@dormouse/errors';
import type { EntityManager } from 'typeorm';

/** What a worker shows with its host's name. Two that match see the same run directories. */
export interface HostProof {
  /** Written in the data directory. */
  readonly directory: string;
  /** Which machine it is on and which directory there, for one whose file was damaged. */
  readonly place: string;
  /** The boot, and the pid namespace: machines of another one are gone. */
  readonly scope: string;
}

export interface ClaimedHost {
  readonly id: string;
  readonly proof: HostProof;
}

/** What is known of a host when somebody announces himself under its name. */
export interface HostOnRecord {
  readonly claim: HostProof | null;
  /** Of a host that was fenced: what it still runs it is to end. */
  readonly fencedClaim: HostProof | null;
  readonly heard: boolean;
  /** Whether desktops have a machine there, as far as the ledger knows. */
  readonly inUse: boolean;
}

/** holds: it is the host. takes: it may be from now on. fenced: it was. waits: the same host after a restart, whose past is still heard. */
export type Standing = 'holds' | 'takes' | 'fenced' | 'waits' | 'refused';

/**
 * Whether a worker may speak for a host. One that may not would report the host's machines absent, since it does not see them, and
 * desktops with users would be given up.
 */
export function standingOf(proof: HostProof, { claim, fencedClaim, heard, inUse }: HostOnRecord): Standing {
  if (claim === null) return 'takes';
  if (isSameHost(proof, claim)) {
    if (proof.scope === claim.scope) return proof.directory === claim.directory ? 'holds' : 'takes';
    return heard ? 'waits' : 'takes';
  }
  if (fencedClaim !== null && isSameHost(proof, fencedClaim)) return 'fenced';
  return heard || inUse ? 'refused' : 'takes';
}

function isSameHost(one: HostProof, other: HostProof): boolean {
  return one.directory === other.directory || one.place === other.place;
}

/** @throws HOST_ID_TAKEN */
export function refuseHost(id: string, { heard }: HostOnRecord, seenAt: Date, standing: 'waits' | 'refused'): never {
  const why = heard
    ? `another machine is the host ${id}; it was last heard from at ${seenAt.toISOString()}. Give this one a HOST_ID of its own`
    : `another machine was the host ${id}, and desktops may still run there. Give this one a HOST_ID of its own; or, when that machine ` +
      `is certainly off, say so (\`dormouse host fence ${id}\`) and start this one again`;
  throw new DormouseError('HOST_ID_TAKEN', why, { id, seenAt: seenAt.toISOString(), waits: standing === 'waits' });
}

/** Whether this is still the host that it was when it last announced itself. */
export async function holdsHost(manager: EntityManager, { id, proof }: ClaimedHost): Promise<boolean> {
  const rows: unknown[] = await manager.query(
    `SELECT FROM hosts
     WHERE id = $1 AND (claim ->> 'directory' = $2 OR claim ->> 'place' = $3) AND claim ->> 'scope' = $4`,
    [id, proof.directory, proof.place, proof.scope],
  );
  return rows.length > 0;
}
