import { limits, type WaitLimit } from '@dormouse/limits';

const head = `# Limits on waiting

Dormouse waits for other processes, for services, for file systems and for guests. Each of them may hang: not end, but stay silent, like a
QEMU whose disk lies on a network file system that is gone. So every such wait has a limit and an end. This page is made from the code
(\`libs/limits/limits.ts\`, by \`npm run docs\`), and a test holds it to that.

What holds whatever hangs:

- **A frozen guest runs again within 10 s.** The worker calls a save off that is not committed in time. If it is the worker that hangs, the
  save's pager lets the guest run. A worker that comes back and finds its guest running withdraws the checkpoint: nothing frees memory unless
  the checkpoint is durable, the user's presence was read again, and the guest still stands still.
- **Other desktops go on.** What hangs gives its slot back when its limit is over. Waiting for a guest takes no slot. Where all share what hangs
  (Postgres, Redis, the storage, the only worker of a host), guests that run go on, and what is asked for meanwhile is done afterwards: a save or wake
  that began before fails, or is gone on with, as the table says.
- **A guest whose memory is still coming waits for what it lacks:** a pager that hangs is replaced, and from a storage that hangs it has the page
  when that answers again.
- **A worker that stood still and goes on does no harm.** Its operations may be a successor's by then. It changes only the machine that it saw while the
  operation was its own, by process id and start time.
- **\`dormouse desktop stop ID --force\` works in every state that has a machine**, also while the desktop is being saved or woken. It ends the
  operation under way and kills QEMU and pager with SIGKILL when they do not end by themselves. A desktop that was asleep in a checkpoint a
  moment ago, or almost, sleeps again; one whose memory was still coming needs an operator's decision.
- **It is told.** The operation fails with the code below, \`details.waitedFor\` names the row, \`desktop explain\` quotes the sentence, the worker
  logs it, and \`dormouse_time_limits_total{waited_for="…"}\` counts it.
`;

/** `docs/limits.md`, as the code has it. */
export function limitsPage(): string {
  const rows = Object.entries<WaitLimit>(limits).map(
    ([name, { who, to, ms, code, then }]) =>
      `| \`${name}\` | ${who} | ${to} | ${duration(ms)} | \`${code}\` | ${then} |`,
  );
  const titles = ['Row', 'Who', 'is waited for to', 'for at most', 'Code', 'Then'];
  return [
    head,
    '<!-- prettier-ignore -->',
    `| ${titles.join(' | ')} |`,
    `|${titles.map(() => '---').join('|')}|`,
    ...rows,
    '',
  ].join('\n');
}

function duration(ms: number): string {
  if (ms >= 3_600_000) return `${ms / 3_600_000} h`;
  return ms >= 60_000 ? `${ms / 60_000} min` : `${ms / 1000} s`;
}
