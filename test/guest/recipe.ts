import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What goes into the guest. Change anything here, or a file of its two trees, and the next use builds a new one. */
export const recipe = {
  /** To be raised when the code that builds the guest changes what comes out. */
  revision: 1,
  /** The first one the distribution has. The cloud kernel is smaller: it lacks drivers for hardware. */
  kernelPackages: ['linux-image-cloud-amd64', 'linux-image-amd64', 'linux-image-virtual'],
  busyboxPackage: 'busybox-static',
  agentPackage: 'qemu-guest-agent',
  /** Loaded by the initramfs in this order, each after those it depends on. */
  kernelModules: [
    { name: 'crc32c_generic', required: false },
    { name: 'ext4', required: true },
    { name: 'virtio_pci', required: true },
    { name: 'virtio_blk', required: true },
    { name: 'virtio_console', required: true },
    { name: 'virtio_net', required: true },
    { name: 'virtio_rng', required: true },
    { name: 'virtio_balloon', required: true },
    { name: 'vmgenid', required: false },
    { name: 'rtc_cmos', required: false },
    { name: 'button', required: false },
    { name: 'evdev', required: false },
  ],
  diskMiB: 256,
  /**
   * no_timer_check: under emulation the kernel's timer test can fail for no other reason than a busy host.
   * mitigations: no tenant shares this guest, and emulation pays for each of them.
   */
  commandLine: 'console=ttyS0,115200 quiet mitigations=off no_timer_check nowatchdog',
} as const;

/** The folder with `initramfs/` and `rootfs/`: compiled code runs from dist/, the two trees stay with the sources. */
export const guestSources = join(projectRoot(__dirname), 'test', 'guest');

function projectRoot(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from;
  if (dirname(from) === from)
    throw new Error('the guest’s sources are looked for below a package.json, and there is none');
  return projectRoot(dirname(from));
}
