import { QemuHypervisor, type Machine, type QemuHypervisorOptions } from '@dormouse/hypervisor';

/** `node --require …/typescript.cjs waiting-owner.ts JSON`: a worker that is killed as soon as it has a machine in waiting. */
const { options, machine } = JSON.parse(process.argv[2]!) as { options: QemuHypervisorOptions; machine: Machine };

new QemuHypervisor(options).prepareWake(machine, machine.diskGeneration).then(
  () => process.kill(process.pid, 'SIGKILL'),
  (error: unknown) => {
    throw error;
  },
);
