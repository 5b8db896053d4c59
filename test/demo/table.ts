import type { MainJobReport } from '../scenario';

/** The report for a person. */
export function table(report: MainJobReport): string {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(0)} %`;
  const yes = (good: boolean): string => (good ? 'yes' : 'NO');
  const rows: [string, string][] = [
    ['nonce the same after sleep', yes(report.nonceSame)],
    ['filled memory the same (SHA-256)', yes(report.memorySame)],
    ['guest answers after the user’s return', `${report.ttrMs} ms`],
    [
      '… after QEMU’s own eager restore',
      `${report.eagerMs} ms (${(report.eagerMs / report.ttrMs).toFixed(1)} × as long)`,
    ],
    ['all memory back after', `${report.hydratedMs} ms, ${report.pageRequests} page requests`],
    ['guest stood still in the save for', `${report.frozenMs} ms`],
    [
      'checkpoint',
      `${mib(report.checkpointBytes)}, ${percent(report.checkpointBytes, report.memoryBytes)} of ${mib(report.memoryBytes)}`,
    ],
    ['… QEMU’s own stream', mib(report.streamBytes)],
    ['guest’s clock off by', `${report.clockSkewMs} ms`],
    ['returned in grace: save called off', yes(report.cancelledInGrace)],
    ['returned in capture: save called off', yes(report.cancelledInCapture)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return `\n${rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}\n`).join('')}\n`;
}
