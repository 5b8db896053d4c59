import { standingOf, type HostOnRecord, type HostProof } from './host-claims';

const first: HostProof = { directory: 'd1', place: 'm1:1:2', scope: 'boot-1' };
const rebooted: HostProof = { ...first, scope: 'boot-2' };
const repaired: HostProof = { ...first, directory: 'd9' };
const another: HostProof = { directory: 'd2', place: 'm2:1:2', scope: 'boot-3' };
const heard: HostOnRecord = { claim: first, fencedClaim: null, heard: true, inUse: true };
const silent: HostOnRecord = { ...heard, heard: false };

test.each<[string, HostProof, HostOnRecord, ReturnType<typeof standingOf>]>([
  ['a name that nobody has is given to whoever comes', another, { ...heard, claim: null }, 'takes'],
  ['every worker of a data directory speaks for its host', first, heard, 'holds'],
  ['so does one whose claim in the data directory was damaged', repaired, heard, 'takes'],
  ['a machine that was restarted waits until its past is silent', rebooted, heard, 'waits'],
  ['and then is the host again', rebooted, silent, 'takes'],
  ['another machine is refused while the host is heard', another, heard, 'refused'],
  ['also a host without desktops', another, { ...heard, inUse: false }, 'refused'],
  ['and while desktops may run on the host that is silent', another, silent, 'refused'],
  [
    'a silent host without machines loses nothing when another machine takes its name',
    another,
    { ...silent, inUse: false },
    'takes',
  ],
  [
    'a fenced host that comes back is told so',
    first,
    { claim: another, fencedClaim: first, heard: true, inUse: true },
    'fenced',
  ],
  ['and is a stranger once it has ended its machines', first, { ...heard, claim: another }, 'refused'],
])('%s', (_, proof, record, expected) => {
  expect(standingOf(proof, record)).toBe(expected);
});
