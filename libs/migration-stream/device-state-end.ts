import { sectionType } from './layout';
import { malformed } from './malformed';

const openingBrace = 0x7b;
const closingBrace = 0x7d;
/** 06, u32 length and the shortest JSON object. */
const shortestDescriptionBytes = 7;
/** 7e and the section's u32 id. */
const footerBytes = 5;

/**
 * Where the device sections of `tail`, all that follows the memory, end: before `00`, or before `00 06 <u32 length>
 * <JSON description>` which closes the stream of all but old machine types. The sections carry no lengths, so the end
 * is looked for from the back. The last byte tells the two endings apart; a description holds no zero byte, so the
 * first that fits is the right one.
 * @throws STREAM_MALFORMED
 */
export function deviceStateEnd(tail: Buffer): number {
  const end = tail.at(-1) === closingBrace ? beforeDescription(tail) : tail.length - 1;
  if (tail[end] !== sectionType.eof || !isBetweenSections(tail, end)) throw malformed('the device state has no end');
  return end;
}

function beforeDescription(tail: Buffer): number {
  for (let at = tail.length - shortestDescriptionBytes; at >= 1; at--) {
    if (
      tail[at] === sectionType.description &&
      tail.readUInt32BE(at + 1) === tail.length - at - 5 &&
      tail[at + 5] === openingBrace
    ) {
      return at - 1;
    }
  }
  return -1;
}

/** A zero in the midst of a device's data is no end: before an end stands the footer of a section that was opened. */
function isBetweenSections(tail: Buffer, at: number): boolean {
  if (at === 0) return true;
  if (at < footerBytes || tail[at - footerBytes] !== sectionType.footer) return false;
  const sectionId = tail.subarray(at - footerBytes + 1, at);
  return tail.subarray(0, at - footerBytes).includes(Buffer.concat([Buffer.of(sectionType.full), sectionId]));
}
