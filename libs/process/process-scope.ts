import { readFileSync, readlinkSync } from 'node:fs';

let scopeOfThisProcess: string | undefined;

/** Where a process id means something: the boot of this machine and the pid namespace in it. */
export function processScope(): string {
  scopeOfThisProcess ??= [
    readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
    readlinkSync('/proc/self/ns/pid').replace(/\D/g, ''),
  ].join('-');
  return scopeOfThisProcess;
}
