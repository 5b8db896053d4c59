import { z } from 'zod';
import { DormouseError } from '@dormouse/errors';
import { argumentProblems } from './extra-arguments';

/** Versioned machine types only: what an unversioned one means changes with the QEMU, and a saved machine must not. */
const versionedMachine = /^pc-(q35|i440fx)-\d+\.\d+$/;

const path = z.string().regex(/^\/[^,\n]*$/, 'must be an absolute path without commas');

const diskSpec = z.strictObject({
  /** Its layers belong to the disk of this name; by default `disk0` and so on, by place. */
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'holds a-z, 0-9 and -, at most 63 characters')
    .optional(),
  /** The golden image on the host: the desktop writes to an overlay of its own. */
  image: path,
  format: z.enum(['qcow2', 'raw']).default('qcow2'),
  readOnly: z.boolean().default(false),
});

/** IFNAMSIZ leaves fifteen bytes; a comma would begin another option of QEMU's. */
const interfaceName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/, 'must be the name of a network interface');
const port = z.int().min(1).max(65_535);

/** How a network card is connected. Each kind is a member of its own, with what it needs. */
const networkSpec = z.discriminatedUnion('type', [
  /** A network of the guest's own, with DHCP and nothing else in it: no host, no outside. */
  z.strictObject({ type: z.literal('user') }),
  /** Through sockets of a passt process that belongs to this machine; `ports` of the host lead into the guest. */
  z.strictObject({
    type: z.literal('passt'),
    ports: z
      .array(z.strictObject({ host: port, guest: port, address: z.ipv4().default('0.0.0.0') }))
      .max(64)
      .default([]),
  }),
  /** A tap interface that somebody else has made. */
  z.strictObject({ type: z.literal('tap'), ifname: interfaceName }),
  /** A bridge of the host: each machine gets a tap interface on it, which goes with it. */
  z.strictObject({ type: z.literal('bridge'), bridge: interfaceName }),
]);

/** QEMU gives the first card of every machine the same address. */
const sharedNetworks: readonly NetworkSpec['type'][] = ['tap', 'bridge'];

const nicSpec = z.strictObject({
  model: z.enum(['virtio-net-pci', 'e1000', 'e1000e', 'rtl8139']).default('virtio-net-pci'),
  mac: z
    .string()
    .regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i, 'must be six hex bytes with colons')
    .optional(),
  network: networkSpec.optional(),
});

const launchSpec = z.strictObject({
  machine: z.string().regex(versionedMachine, 'must be a versioned machine type such as pc-q35-7.2'),
  cpuModel: z
    .string()
    .regex(/^[A-Za-z0-9._-]+(,[+-]?[a-z0-9._=-]+)*$/)
    .refine((model) => !['host', 'max'].includes(model.split(',')[0]!), 'must be a named model, not host or max'),
  memoryMiB: z
    .int()
    .min(64)
    .max(1024 * 1024),
  cpus: z.int().min(1).max(255).default(1),
  disks: z
    .array(diskSpec)
    .max(16)
    .refine((disks) => new Set(disks.map(diskName)).size === disks.length, 'no two disks may have the same name')
    .default([]),
  nics: z
    .array(
      nicSpec.refine(({ network, mac }) => mac !== undefined || !sharedNetworks.includes(networkOf({ network }).type), {
        path: ['mac'],
        message: 'must be given on a tap or bridge, where another machine could have the same one',
      }),
    )
    .max(8)
    .default([]),
  display: z.enum(['none', 'vnc']).default('none'),
  /** Who says that the guest is ready after waking: its agent, or nobody. */
  readiness: z.enum(['agent', 'none']).default('agent'),
  /** Boots a kernel directly instead of the first disk. */
  kernel: z.strictObject({ image: path, initrd: path.optional(), commandLine: z.string().default('') }).optional(),
  /** Handed to QEMU after all others; which are taken: extra-arguments.ts. */
  extraArguments: z.array(z.string().max(4096)).max(64).default([]),
});

/** All that is needed to start a desktop's machine, the same way each time. */
export type LaunchSpec = z.output<typeof launchSpec>;
export type DiskSpec = z.output<typeof diskSpec>;
export type NicSpec = z.output<typeof nicSpec>;
export type NetworkSpec = z.output<typeof networkSpec>;

/**
 * Reads a spec that a desktop has. One that was registered earlier may have arguments that are refused now: `outdatedArguments`.
 * @throws LAUNCH_SPEC_INVALID naming every field that is wrong
 */
export function parseLaunchSpec(value: unknown): LaunchSpec {
  const parsed = launchSpec.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalid(parsed.error.issues.map((issue) => `${issue.path.join('.') || 'launch spec'}: ${issue.message}`));
}

/** Reads a spec that a desktop is to get. @throws LAUNCH_SPEC_INVALID naming every field and argument that is wrong */
export function parseNewLaunchSpec(value: unknown): LaunchSpec {
  const spec = parseLaunchSpec(value);
  const problems = argumentProblems(spec.extraArguments).map(inWords);
  if (problems.length > 0) throw invalid(problems);
  return spec;
}

/**
 * What a spec that was registered earlier has that a new one could not have.
 * @throws LAUNCH_SPEC_INVALID when a machine must not be started so
 */
export function outdatedArguments({ extraArguments }: LaunchSpec): string[] {
  const problems = argumentProblems(extraArguments);
  const deadly = problems.filter((problem) => problem.deadly).map(inWords);
  if (deadly.length > 0) throw invalid(deadly);
  return problems.map(inWords);
}

/** Whether its guest writes to a disk that has no layers: then only its newest checkpoint fits what stands there. */
export function hasUnlayeredDisks({ extraArguments }: LaunchSpec): boolean {
  return argumentProblems(extraArguments).some(({ unlayered }) => unlayered);
}

function inWords({ at, reason }: { at: number; reason: string }): string {
  return `extraArguments.${at}: ${reason}`;
}

function invalid(problems: readonly string[]): DormouseError {
  return new DormouseError('LAUNCH_SPEC_INVALID', problems.join('; '), { problems });
}

export function diskName({ name }: { readonly name?: string | undefined }, place: number): string {
  return name ?? `disk${place}`;
}

/** Each has layers of its own, over its image. */
export function writableDisks(launchSpec: LaunchSpec): DiskSpec[] {
  return launchSpec.disks.filter((disk) => !disk.readOnly);
}

/** What a network card is connected to; one that says nothing to a network that nothing else is in. */
export function networkOf({ network }: Pick<NicSpec, 'network'>): NetworkSpec {
  return network ?? { type: 'user' };
}
