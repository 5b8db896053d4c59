/**
 * Goes in front of a command: the kernel sends it `signal` when this process is gone, even by kill -9.
 * prctl(2), PR_SET_PDEATHSIG: forgotten when the credentials change, so a change of user goes in front of this, and
 * kept across exec. We may have died before it was set, so the shell looks who its parent is before it becomes the
 * command. The parent is a thread to the kernel: only the main one will do.
 */
export function diesWithParent(signal: 'SIGQUIT' | 'SIGTERM' | 'SIGKILL'): string[] {
  const unlessOrphaned = '[ "$PPID" = "$0" ] && exec "$@"';
  return ['setpriv', '--pdeathsig', signal.slice('SIG'.length), 'sh', '-c', unlessOrphaned, String(process.pid)];
}
