import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  answers,
  machineStateNames,
  machineStates,
  rules,
  signals,
  type MachineState,
  type Signal,
} from '@dormouse/session';

const root = join(__dirname, '../..');
const page = readFileSync(join(root, 'docs/ARCHITECTURE.md'), 'utf8');

/** The rows of the page's table below a heading, each as its cells; without the two lines of its head. */
function tableBelow(heading: string): string[][] {
  const section = page.slice(page.indexOf(`\n## ${heading}\n`)).split(/\n## /)[1] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

describe('the table of machine states', () => {
  /** Who can move a desktop, by the signals that are theirs: the columns. */
  const movers: readonly (readonly Signal[])[] = [
    ['arrived', 'left', 'unsure', 'unchanged', 'graceElapsed'],
    ['registerRequested', 'bootRequested', 'saveRequested', 'restoreRequested', 'stopRequested'],
    [
      ...(['claimed', 'switchoverReached', 'checkpointDurable', 'releaseReached', 'guestRan'] as const),
      ...(['succeeded', 'failed', 'cancelled'] as const),
    ],
    ['foundAbsent', 'foundRunning'],
  ];
  /** Moves a phase; the one state it can change is told below the table. */
  const untold: Signal = 'phaseReached';

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

  test('has a column for every signal', () => {
    expect([...movers.flat(), untold].sort()).toEqual([...signals].sort());
  });

  test('says what the transition table says', () => {
    const expected = machineStateNames.map((state) => {
      const { machine, operation, held } = machineStates[state];
      const open = { always: String(operation), maybe: `(${operation})`, never: '' }[held];
      return [`\`${state}\``, machine, open, ...movers.map((mover) => moves(state, mover))];
    });
    expect(tableBelow('Machine states, and who moves them')).toEqual(expected);
  });
});

test('the table of rooms says what the lint rule allows', () => {
  const config = readFileSync(join(root, 'eslint.config.mjs'), 'utf8');
  const rooms = [...config.matchAll(/'((?:libs|apps)\/[\w*-]+)': \{\s*libs: ('all'|\[[^\]]*\])/g)];
  const expected = rooms.map(([, room, libs]) => {
    const names = [...libs!.matchAll(/'([\w-]+)'/g)].map(([, name]) => name);
    return [`\`${room}\``, names.length === 0 ? 'nothing' : names.join(', ')];
  });
  expect(expected.length).toBeGreaterThan(15);
  expect(tableBelow('Rooms').map(([room, libs]) => [room, libs])).toEqual(expected);
});
