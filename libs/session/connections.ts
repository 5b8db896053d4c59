import { supersedes, type Mark } from './mark';

/** What a source said last of one connection. One that is closed is remembered, so that its connect, coming late, opens nothing. */
export interface Connection extends Mark {
  readonly id: string;
  readonly open: boolean;
}

/** The connections after an event of one of them; null when what is known of it happened after the event. */
export function withConnection(
  connections: readonly Connection[],
  id: string,
  open: boolean,
  { sequence, atMs }: Mark,
): readonly Connection[] | null {
  const known = connections.find((one) => one.id === id);
  if (known !== undefined && !supersedes({ sequence, atMs }, known)) return null;
  const others = connections.filter((one) => one !== known);
  // What has neither number nor time is known to be older than nothing.
  const marked = { sequence, atMs: atMs ?? known?.atMs ?? null };
  if (!open && marked.sequence === null && marked.atMs === null) return others;
  return inOrder([...others, { id, open, ...marked }]);
}

/** The connections when exactly these are open, but for what is known to have happened afterwards. */
export function withSnapshot(
  connections: readonly Connection[],
  openIds: readonly string[],
  mark: Mark,
): readonly Connection[] {
  const ids = new Set([...connections.filter(({ open }) => open).map(({ id }) => id), ...openIds]);
  const named = new Set(openIds);
  return [...ids].reduce<readonly Connection[]>(
    (known, id) => withConnection(known, id, named.has(id), mark) ?? known,
    connections,
  );
}

export function openOf(connections: readonly Connection[]): readonly string[] {
  return connections.filter(({ open }) => open).map(({ id }) => id);
}

/** Without those closed ones that happened longest ago, as far as that can be told. */
export function forgetting(connections: readonly Connection[], mostClosed: number): readonly Connection[] {
  const closed = connections.filter(({ open }) => !open);
  if (closed.length <= mostClosed) return connections;
  const age = ({ sequence, atMs }: Connection): number => sequence ?? atMs ?? 0;
  const oldest = [...closed].sort((one, other) => age(one) - age(other)).slice(0, closed.length - mostClosed);
  return connections.filter((one) => !oldest.includes(one));
}

function inOrder(connections: readonly Connection[]): readonly Connection[] {
  return [...connections].sort((one, other) => (one.id < other.id ? -1 : 1));
}
