import { DormouseError } from '@dormouse/errors';
import { strongestTrust, type Member, type WorkingSet } from './working-set';

/** u32 page · u32 rank in milliseconds · u8 trust · u8 doubt · u16 zero */
const memberBytes = 12;
const longestRankMs = 0xffffffff;

/** Twelve bytes a member, nothing before or between them. */
export function encodeWorkingSet({ members }: WorkingSet): Buffer {
  const encoded = Buffer.alloc(members.length * memberBytes);
  members.forEach(({ page, rankMs, trust, doubt }, n) => {
    const at = n * memberBytes;
    encoded.writeUInt32LE(page, at);
    encoded.writeUInt32LE(Math.min(rankMs, longestRankMs), at + 4);
    encoded[at + 8] = trust;
    encoded[at + 9] = doubt;
  });
  return encoded;
}

/**
 * @param pages of the guest's memory
 * @throws CHECKPOINT_CORRUPT
 */
export function decodeWorkingSet(encoded: Buffer, pages: number): WorkingSet {
  if (encoded.length % memberBytes !== 0) throw corrupt('is cut off');
  const members: Member[] = [];
  const seen = new Set<number>();
  for (let at = 0; at < encoded.length; at += memberBytes) {
    const page = encoded.readUInt32LE(at);
    const trust = encoded[at + 8]!;
    const doubt = encoded[at + 9]!;
    if (page >= pages || seen.has(page)) throw corrupt(`names page ${page}, which is not there, or twice`);
    if (trust < 1 || trust > strongestTrust || doubt > trust + 1)
      throw corrupt(`has an impossible member, page ${page}`);
    seen.add(page);
    members.push({ page, rankMs: encoded.readUInt32LE(at + 4), trust, doubt });
  }
  return { members };
}

function corrupt(what: string): DormouseError {
  return new DormouseError('CHECKPOINT_CORRUPT', `the working set ${what}`);
}
