/**
 * The driver port without machines: what a host with QEMU would hold is in files, how long things take is made up, and what fails is
 * asked for. For trying out thousands of desktops on many hosts. It watches what a real host cannot see: that no desktop runs
 * twice anywhere, and that no memory is let go that is not stored.
 */
export { latenciesMs, type Step } from './latencies';
export { SimulatedHypervisor, type SimulationOptions } from './simulated-hypervisor';
export { fillDisk, storageDisk, type FullDisk } from './simulated-files';
export { readViolations } from './violations';
