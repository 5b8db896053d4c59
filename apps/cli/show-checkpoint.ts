import type { CheckpointSummary, Exported, PageFate, VerifyReport } from '@dormouse/checkpoint-tools';
import { facts, table } from './table';

/** What checkpoints look like to a person. */
export function showSummary(summary: CheckpointSummary): string {
  const { lineage, memory, objects, compression, diskSources, packs } = summary;
  const about = facts([
    ['checkpoint', summary.checkpointId],
    ['desktop', summary.desktopId],
    ['made', summary.createdAt],
    [
      'after',
      lineage.previous === null ? 'nothing: the first of its lineage' : `${lineage.previous} (${lineage.depth} before)`,
    ],
    ['memory', `${size(memory.bytes)} in ${memory.blocks.length} blocks`],
    ['written', `${size(objects.total)}, ${percent(summary.share)} of memory`],
    [
      '',
      `packs ${size(objects.ownPacks)}, page map ${size(objects.pageMap)}, known pages ${size(objects.knownPages)},`,
    ],
    ['', `wake pack ${size(objects.wakePack)} with ${summary.wakeSet} pages`],
    ['stored pages', `${size(compression.raw)}, compressed to ${size(compression.packed)}`],
    ['superseded', `${summary.superseded} copies of pages`],
    ['data key', `${summary.keyId}${summary.sealChecked ? ', which sealed it' : '; the seal was not checked'}`],
    ['disk layer', summary.diskGeneration],
    ['fingerprint', JSON.stringify(summary.fingerprint)],
  ]);
  const pages = table(
    summary.pages,
    [
      { title: 'PAGES', text: ({ what }) => pageFates[what] },
      { title: 'NUMBER', text: (row) => String(row.pages) },
      { title: 'SIZE', text: ({ bytes }) => size(bytes) },
      { title: 'SHARE', text: ({ share }) => percent(share) },
    ],
    'no pages',
  );
  const needed = table(
    [
      ...packs.map(({ checkpointId, packs: count, bytes }) => ({
        what: `${count} packs of ${checkpointId === summary.checkpointId ? 'this checkpoint' : checkpointId}`,
        bytes,
      })),
      ...diskSources.map(({ name, blocks }) => ({ what: `disk source ${name}`, bytes: blocks * 4096 })),
    ],
    [
      { title: 'NEEDS', text: ({ what }) => what },
      { title: 'SIZE', text: ({ bytes }) => size(bytes) },
    ],
    'needs no packs and no disks',
  );
  return [about, pages, needed].join('\n\n');
}

const pageFates: Readonly<Record<PageFate, string>> = {
  zero: 'zero',
  previous: 'known from the checkpoint before',
  disk: 'found on disk',
  duplicate: 'repeated',
  stored: 'stored',
};

export function showVerified({ checkpointId, checked, depth, findings, unlisted, notChecked }: VerifyReport): string {
  const looked =
    depth === 'contents'
      ? `${checked.objects} objects (${size(checked.bytes)}), ${checked.frames} frames, ${checked.pages} pages, ${checked.diskBlocks} disk blocks`
      : `${checked.objects} objects (${size(checked.bytes)})`;
  const verdict =
    findings.length === 0
      ? `${checkpointId} is ${depth === 'contents' ? 'whole' : 'as it was written'}`
      : `${checkpointId}: ${findings.length + unlisted} ${findings.length === 1 ? 'thing is' : 'things are'} wrong`;
  return [
    ...findings.map(({ severity, code, message }) => `${severity.padEnd(7)}  ${code}  ${message}`),
    ...(unlisted > 0 ? [`… and ${unlisted} more`] : []),
    ...(findings.length > 0 ? [''] : []),
    verdict,
    `checked: ${looked}`,
    ...notChecked,
  ].join('\n');
}

export function showExported(output: string, { bytes, pages }: Exported, layers: readonly string[]): string {
  return [
    `${output}: ${size(bytes)}, ${pages} pages. A QEMU with the devices of the launch spec loads it with`,
    `  -incoming 'exec:cat ${output}'`,
    ...(layers.length === 0 ? [] : ['on new overlays on top of these layers, which must stay as they are:']),
    ...layers.map((file) => `  ${file}`),
  ].join('\n');
}

export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(1)} KiB`;
  if (bytes < 1024 ** 3) return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
  return `${(bytes / 1024 ** 3).toFixed(2)} GiB`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
