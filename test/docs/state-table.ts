import {
  answers,
  machineStateNames,
  machineStates,
  rules,
  signals,
  type MachineState,
  type Signal,
} from '@dormouse/session';

/** Who can move a desktop, by the signals that are theirs: the columns. `phaseReached` is told below the table. */
const movers = {
  'Presence and time': ['arrived', 'left', 'loggedOff', 'unsure', 'unchanged', 'graceElapsed', 'termsChanged'],
  People: [
    ...(['registerRequested', 'bootRequested', 'saveRequested', 'restoreRequested', 'stopRequested'] as const),
    'cancelAsked',
  ],
  'Worker of the operation': [
    ...([
      'claimed',
      'fallBackAsked',
      'switchoverReached',
      'checkpointDurable',
      'lingerAsked',
      'releaseReached',
      'elsewhereAsked',
      'guestRan',
    ] as const),
    ...(['succeeded', 'failed', 'cancelled'] as const),
  ],
  'Census of the host': ['foundAbsent', 'foundRunning', 'foundShutDown'],
} as const satisfies Record<string, readonly Signal[]>;

/** @throws when a signal has no column */
export function stateTable(): string[] {
  const told = new Set<Signal>([...Object.values(movers).flat(), 'phaseReached']);
  const untold = signals.filter((signal) => !told.has(signal));
  if (untold.length > 0) throw new Error(`no column of the table of states tells of ${untold.join(', ')}`);
  const head = ['State', 'QEMU', 'Operation', ...Object.keys(movers)];
  const rows = machineStateNames.map((state) => {
    const { machine, operation, held } = machineStates[state];
    const open = { always: String(operation), maybe: `(${operation})`, never: '' }[held];
    return [`\`${state}\``, machine, open, ...Object.values(movers).map((mover) => moves(state, mover))];
  });
  return [row(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(row)];
}

/** Where a mover's signals lead from a state; signals that lead to the same states share a line. */
function moves(state: MachineState, mover: readonly Signal[]): string {
  const signalsTo = new Map<string, Signal[]>();
  for (const signal of mover) {
    const targets = rules[answers[state][signal]].filter((target) => target !== 'stay' && target !== state);
    const to = targets.join(', ');
    if (to !== '') signalsTo.set(to, [...(signalsTo.get(to) ?? []), signal]);
  }
  return [...signalsTo].map(([to, some]) => `${some.join(', ')} → ${to}`).join('<br>');
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** The page with its table of states as the code has it. @throws when the page has no such table */
export function withStateTable(page: string): string {
  const [head] = stateTable();
  const lines = page.split('\n');
  const begin = lines.indexOf(head!);
  if (begin < 0) throw new Error('docs/ARCHITECTURE.md has no table of states with the columns of today');
  const length = lines.slice(begin).findIndex((line) => !line.startsWith('|'));
  return [...lines.slice(0, begin), ...stateTable(), ...lines.slice(begin + length)].join('\n');
}
