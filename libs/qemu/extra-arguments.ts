/**
 * What `extraArguments` may say. Each option of QEMU that is listed here is taken with its meaning, or refused with what to use instead; one that
 * is not listed is refused, since nobody knows what it does to a machine that is saved and woken.
 */
export interface ArgumentProblem {
  /** Index of the option in `extraArguments`. */
  readonly at: number;
  readonly reason: string;
  /** A machine must not even be started with it, also when its desktop was registered while nobody looked. */
  readonly deadly: boolean;
  /** The guest writes to something that has no layers, and so no state for a checkpoint. */
  readonly unlayered: boolean;
}

/** Why a value is refused; null when it is taken. */
type Check = (value: string) => string | null;

interface Option {
  readonly takesValue: boolean;
  readonly check: Check;
  readonly deadly: boolean;
  readonly unlayered: boolean;
}

const taken: Check = () => null;
const flag = (check: Check = taken): Option => ({ takesValue: false, check, deadly: false, unlayered: false });
const value = (check: Check = taken): Option => ({ takesValue: true, check, deadly: false, unlayered: false });
/** What is refused of it is a disk that the guest writes to. */
const disk = (option: Option): Option => ({ ...option, unlayered: true });
const deadly = (option: Option): Option => ({ ...option, deadly: true });
const refused =
  (reason: string): Check =>
  () =>
    reason;

const fields = {
  machine: 'use the field `machine`',
  cpuModel: 'use the field `cpuModel`',
  memory: 'use the field `memoryMiB`',
  cpus: 'use the field `cpus`',
  disks: 'use the field `disks`: only those have layers, and so a state for each checkpoint',
  nics: 'use the field `nics`',
  display: 'use the field `display`',
  kernel: 'use the field `kernel`',
  accelerator: 'each host uses the accelerator that works on it (ACCEL)',
  sockets: 'Dormouse gives each machine its own sockets; monitor.sock in the run directory is a QMP for you',
  serial: 'Dormouse uses the serial ports of the machine',
  own: 'Dormouse sets this itself',
  starts: 'Dormouse starts, owns and ends the process: leave it off',
  unknownContent: 'it brings options that nobody has looked at: name them one by one',
  grows: 'it writes without a limit',
  tpm: 'a TPM is not yet possible: its state would be in no checkpoint',
} as const;

const nicModels = /^(virtio-net|vmxnet3|e1000|rtl8139|ne2k|pcnet|i8255\d|igb|tulip|usb-net)/;
/** Backends that keep nothing on the host and speak to nobody outside of QEMU. */
const chardevs = new Set(['null', 'ringbuf', 'spicevmc', 'spiceport', 'qemu-vdagent']);
const audioDrivers = new Set(['none', 'spice']);
const objects =
  /^(rng-random|rng-builtin|iothread|throttle-group|memory-backend-(ram|memfd|file)|cryptodev-backend-builtin)$/;
/** They hold no content. */
const emptyDrivers = new Set(['null-co', 'null-aio']);

const options: Readonly<Record<string, Option>> = {
  // Devices and what they need
  device: value(checkDevice),
  object: value((text) => {
    const kind = parts(text).get('qom-type') ?? first(text);
    return objects.test(kind) ? null : `objects of the type ${kind} are not possible`;
  }),
  global: value(),
  chardev: value((text) => {
    const backend = parts(text).get('backend') ?? first(text);
    return chardevs.has(backend) ? null : `${fields.sockets}; the backends ${[...chardevs].join(', ')} are possible`;
  }),
  audiodev: value(checkAudio),
  audio: value(checkAudio),
  spice: value(),
  vga: value(),
  usb: flag(),
  usbdevice: value(oneOf('tablet', 'keyboard', 'mouse')),
  numa: value(),
  'watchdog-action': value(),

  // Disks: read-only ones beside `disks`
  drive: disk(value(checkDrive)),
  blockdev: disk(value(checkBlockdev)),
  cdrom: value(),
  ...same(disk(value(refused(fields.disks))), 'hda', 'hdb', 'hdc', 'hdd', 'fda', 'fdb', 'sd', 'mtdblock'),
  pflash: disk(value(checkPflash)),
  snapshot: deadly(flag(refused('what the guest writes would be gone with its machine'))),

  // Firmware and what it tells the guest
  bios: value(),
  boot: value(),
  smbios: value((text) => (parts(text).has('file') ? 'give the fields of the table, not a file' : null)),
  acpitable: value(),
  fw_cfg: value(),
  uuid: value(),
  rtc: value((text) => {
    const clock = parts(text).get('clock') ?? 'host';
    return clock === 'host' ? null : 'the guest’s clock is the host’s: leave `clock` out';
  }),
  k: value(),
  ...same(
    flag(),
    'no-hpet',
    'no-acpi',
    'no-fd-bootchk',
    'win2k-hack',
    'no-reboot',
    'only-migratable',
    'nodefaults',
    'no-user-config',
  ),
  msg: value(),
  name: value((text) =>
    [...parts(text).keys()].every((key) => key === 'debug-threads') ? null : 'the desktop’s id is its name',
  ),
  overcommit: value((text) =>
    parts(text).get('mem-lock') === 'on'
      ? 'a wake brings memory page by page: it cannot be locked before it is there'
      : null,
  ),

  // The examination of the machine says what is wrong with these
  ...same(value(), 'fsdev', 'virtfs', 'mem-path'),

  // What the spec has fields for
  ...same(value(refused(fields.machine)), 'machine', 'M'),
  cpu: value(refused(fields.cpuModel)),
  m: value(refused(fields.memory)),
  smp: value(refused(fields.cpus)),
  accel: value(refused(fields.accelerator)),
  'enable-kvm': flag(refused(fields.accelerator)),
  ...same(value(refused(fields.nics)), 'netdev', 'nic', 'net'),
  ...same(value(refused(fields.display)), 'display', 'vnc'),
  ...same(flag(refused(fields.display)), 'nographic', 'full-screen', 'curses', 'sdl'),
  ...same(value(refused(fields.kernel)), 'kernel', 'initrd', 'append', 'dtb'),

  // What Dormouse does
  ...same(value(noneOr(fields.serial)), 'serial', 'parallel', 'debugcon'),
  ...same(value(noneOr(fields.sockets)), 'monitor', 'mon', 'qmp', 'qmp-pretty', 'gdb'),
  s: flag(refused(fields.sockets)),
  ...same(value(refused(fields.own)), 'action', 'sandbox', 'run-with', 'trace', 'compat'),
  'no-shutdown': flag(refused(fields.own)),
  ...same(value(refused(fields.grows)), 'd', 'D'),
  'mem-prealloc': flag(refused('a wake brings memory page by page: it must not be taken before')),
  tpmdev: value(refused(fields.tpm)),
  ...same(value(refused(fields.unknownContent)), 'readconfig', 'set', 'plugin'),
  pidfile: value(refused(fields.starts)),
  ...same(deadly(flag(refused(fields.starts))), 'daemonize', 'S', 'preconfig'),
  ...same(deadly(value(refused(fields.starts))), 'incoming', 'loadvm', 'runas', 'user', 'chroot'),
};

/** All that is refused, in the order it stands there. */
export function argumentProblems(extraArguments: readonly string[]): ArgumentProblem[] {
  const problems: ArgumentProblem[] = [];
  for (let at = 0; at < extraArguments.length; at++) {
    const text = extraArguments[at]!;
    const name = /^--?(.+)$/.exec(text)?.[1];
    const next = extraArguments[at + 1];
    if (name === undefined) {
      problems.push({
        at,
        reason: `${text} is taken for a disk image: ${fields.disks}`,
        deadly: false,
        unlayered: true,
      });
      continue;
    }
    const option = Object.hasOwn(options, name) ? options[name]! : null;
    if (option === null) {
      problems.push({
        at,
        reason: `-${name} is no option of QEMU that Dormouse knows to be safe`,
        deadly: false,
        unlayered: false,
      });
      if (next !== undefined && !next.startsWith('-')) at++;
      continue;
    }
    if (option.takesValue && next === undefined) {
      problems.push({ at, reason: `-${name} needs a value`, deadly: option.deadly, unlayered: false });
      continue;
    }
    const why = option.check(option.takesValue ? next! : '');
    if (why !== null)
      problems.push({ at, reason: `-${name}: ${why}`, deadly: option.deadly, unlayered: option.unlayered });
    if (option.takesValue) at++;
  }
  return problems;
}

function checkDevice(text: string): string | null {
  const driver = parts(text).get('driver') ?? first(text);
  if (nicModels.test(driver)) return fields.nics;
  if (driver === 'isa-debug-exit') return 'the guest could end its QEMU with it';
  if (driver.startsWith('tpm-')) return fields.tpm;
  return null;
}

function checkDrive(text: string): string | null {
  const given = parts(text);
  if (given.get('snapshot') === 'on') return `what the guest writes would be gone with its machine; ${fields.disks}`;
  if (given.get('if') === 'pflash') return checkPflash(text);
  const readOnly = given.get('readonly') === 'on' || given.get('read-only') === 'on' || given.get('media') === 'cdrom';
  return readOnly || emptyDrivers.has(given.get('driver') ?? '') ? null : `a writable disk: ${fields.disks}`;
}

function checkBlockdev(text: string): string | null {
  const given = parts(text);
  const readOnly = ['on', 'true'].includes(given.get('read-only') ?? '');
  return readOnly || emptyDrivers.has(given.get('driver') ?? first(text)) ? null : `a writable disk: ${fields.disks}`;
}

function checkPflash(text: string): string | null {
  if (parts(text).get('readonly') === 'on') return null;
  return 'UEFI variables in a writable file are not yet possible: they would be in no checkpoint. Give the firmware with readonly=on';
}

function checkAudio(text: string): string | null {
  const driver = parts(text).get('driver') ?? first(text);
  return audioDrivers.has(driver) ? null : `sound goes nowhere else than ${[...audioDrivers].join(' or ')}`;
}

function oneOf(...names: readonly string[]): Check {
  return (text) => (names.includes(text) ? null : `only ${names.join(', ')}`);
}

function noneOr(reason: string): Check {
  return (text) => (text === 'none' ? null : reason);
}

function same(option: Option, ...names: readonly string[]): Record<string, Option> {
  return Object.fromEntries(names.map((name) => [name, option]));
}

/** What stands before the first comma: QEMU takes it for the kind of the thing. */
function first(text: string): string {
  return text.split(',', 1)[0]!;
}

/** `key=value` pairs as QEMU reads them: in JSON, or between commas, of which a doubled one is a part of the value. The last of a name counts. */
function parts(text: string): ReadonlyMap<string, string> {
  if (text.trimStart().startsWith('{')) return jsonParts(text);
  const pairs = text
    .replaceAll(',,', '\0')
    .split(',')
    .map((pair) => pair.replaceAll('\0', ','))
    .map((pair): [string, string] => {
      const at = pair.indexOf('=');
      return at === -1 ? [pair, 'on'] : [pair.slice(0, at), pair.slice(at + 1)];
    });
  return new Map(pairs);
}

function jsonParts(text: string): ReadonlyMap<string, string> {
  try {
    const given: unknown = JSON.parse(text);
    if (typeof given !== 'object' || given === null) return new Map();
    return new Map(Object.entries(given).map(([key, one]) => [key, String(one)]));
  } catch {
    return new Map(); // QEMU says what is wrong with it
  }
}
