import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * What goes into the guests. Change anything here, or a file of their trees, and the next use builds a new one.
 *
 * `small`: a kernel and busybox, up in seconds, for tests and the demo. `desktop`: Debian with X, a window manager and an
 * editor, and enough on its disk to fill a page cache with, for figures that are to mean something.
 */
export const recipes = {
  small: {
    /** To be raised when the code that builds the guest changes what comes out. */
    revision: 2,
    trees: ['initramfs', 'rootfs', 'line-protocol'],
    /** The first one the distribution has. The cloud kernel is smaller: it lacks drivers for hardware. */
    kernelPackages: ['linux-image-cloud-amd64', 'linux-image-amd64', 'linux-image-virtual'],
    busyboxPackage: 'busybox-static',
    agentPackage: 'qemu-guest-agent',
    diskMiB: 256,
  },
  desktop: {
    revision: 1,
    trees: ['initramfs', 'desktop-rootfs', 'line-protocol'],
    suite: 'bookworm',
    packages: [
      ...['linux-image-amd64', 'busybox-static', 'qemu-guest-agent', 'systemd-sysv', 'udev', 'dbus-x11', 'kmod'],
      ...['xserver-xorg-core', 'xserver-xorg-input-libinput', 'xinit', 'x11-xserver-utils', 'wmctrl', 'xdotool'],
      ...['openbox', 'mousepad', 'xterm', 'fonts-dejavu-core', 'adwaita-icon-theme'],
    ],
    diskMiB: 2048,
  },
} as const;

export type GuestKind = keyof typeof recipes;

/** Loaded by the initramfs in this order, each after those it depends on. */
export const kernelModules = [
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
] as const;

/**
 * no_timer_check: under emulation the kernel's timer test can fail for no other reason than a busy host.
 * mitigations: no tenant shares this guest, and emulation pays for each of them.
 */
export const commandLine = 'console=ttyS0,115200 quiet mitigations=off no_timer_check nowatchdog';

/** The folder with the guests' trees: compiled code runs from dist/, the trees stay with the sources. */
export const guestSources = join(projectRoot(__dirname), 'test', 'guest');

function projectRoot(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from;
  if (dirname(from) === from)
    throw new Error('the guest’s sources are looked for below a package.json, and there is none');
  return projectRoot(dirname(from));
}
