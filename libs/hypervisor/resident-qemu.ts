import { spawn, type ChildProcess } from 'node:child_process';
import { diesWithParent, plainEnvironment } from '@dormouse/process';
import { sandboxArguments } from '@dormouse/qemu';

/** No guest, hardly any memory of its own, and all of its program locked into memory. */
const idle = [
  ...['-machine', 'none', '-accel', 'tcg,tb-size=1', '-nodefaults', '-no-user-config'],
  ...['-display', 'none', '-S', '-overcommit', 'mem-lock=on'],
  ...sandboxArguments,
];

/**
 * A QEMU that does nothing but keep its program in memory (60 MiB, most of it shared with the machines that run): on a host whose
 * desktops all sleep nobody else does, and the first to wake would wait for it to come from the disk, for twice as long as QEMU
 * takes to start. Ends with us, however we end. Where memory must not be locked (CAP_IPC_LOCK) it ends at once, and
 * machines start as they would without.
 */
export class ResidentQemu {
  private child: ChildProcess | null = null;

  start(program: string): void {
    if (this.child !== null) return;
    const [launcher, ...args] = [...diesWithParent('SIGKILL'), program, ...idle] as [string, ...string[]];
    this.child = spawn(launcher, args, { stdio: 'ignore', env: plainEnvironment() });
    this.child.on('error', () => undefined); // then there is none
    this.child.unref();
  }

  stop(): void {
    this.child?.kill('SIGKILL');
    this.child = null;
  }
}
