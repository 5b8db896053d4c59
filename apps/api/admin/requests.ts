import { consents } from '@dormouse/session';
import {
  brokerName,
  desktopIdPattern,
  identifierPattern,
  instantInWords,
  isPlainText,
  parseInstant,
  uuidPattern,
} from '@dormouse/text';
import { apiScopes } from '@dormouse/views';
import { z } from 'zod';
import { requests } from '../openapi';

export const defaultPool = 'default';

const plainText = (longest: number) => {
  const message = `must be a text of 1 to ${longest} characters without control characters`;
  return z
    .string(message)
    .refine((text) => isPlainText(text, longest), message)
    .meta({ minLength: 1, maxLength: longest });
};

const instant = z
  .string(`must be ${instantInWords}`)
  .transform((text, context) => {
    const moment = parseInstant(text);
    if (moment !== null) return moment;
    context.addIssue({ code: 'custom', message: `must be ${instantInWords}` });
    return z.NEVER;
  })
  .meta({ type: 'string', format: 'date-time' });

const identifier = z.string().regex(identifierPattern, 'must be an id: lower-case letters, digits and hyphens');

const reason = plainText(500).meta({ example: 'maintenance of the host', description: 'Goes into the audit log' });
const because = { reason };
/** Who says why says it for the audit log; what needs no reason may have one. */
const maybeBecause = { reason: reason.exactOptional() };

export const reasonRequest = z.strictObject(because).register(requests, { id: 'ReasonRequest' });
export type ReasonRequest = z.output<typeof reasonRequest>;

export const reasonQuery = z.strictObject(because);
export const optionalReasonQuery = z.strictObject(maybeBecause);
export type OptionalReasonQuery = z.output<typeof optionalReasonQuery>;

export const putDesktopRequest = z
  .strictObject({
    ...maybeBecause,
    poolId: identifier.default(defaultPool),
    launchSpec: z.record(z.string(), z.unknown()).meta({
      description: 'Versioned machine type, named CPU model, memory, CPUs, disks, NICs, display, extra arguments',
      example: {
        machine: 'pc-q35-7.2',
        cpuModel: 'qemu64',
        memoryMiB: 1024,
        cpus: 1,
        disks: [{ image: '/srv/images/desktop.qcow2' }],
        nics: [{ model: 'virtio-net-pci' }],
        display: 'vnc',
        readiness: 'agent',
        extraArguments: [],
      },
    }),
  })
  .register(requests, { id: 'PutDesktopRequest' });
export type PutDesktopRequest = z.output<typeof putDesktopRequest>;

export const holdRequest = z
  .strictObject({ ...because, until: instant.describe('From now on, at most a year ahead') })
  .register(requests, { id: 'HoldRequest' });
export type HoldRequest = z.output<typeof holdRequest>;

export const brokerRequest = z
  .strictObject({
    ...because,
    source: z
      .string('must be the name of a broker, or null')
      .transform(brokerName)
      .pipe(plainText(256))
      .nullable()
      .describe('Its CloudEvents `source`. Null: the desktop belongs to the broker that speaks of it next'),
  })
  .register(requests, { id: 'BrokerRequest' });
export type BrokerRequest = z.output<typeof brokerRequest>;

export const prewarmRequest = z
  .strictObject({ ...because, until: instant.exactOptional().describe('Also holds the desktop until then') })
  .register(requests, { id: 'PrewarmRequest' });
export type PrewarmRequest = z.output<typeof prewarmRequest>;

export const consentRequest = z
  .strictObject({ ...because, to: z.enum(consents).describe('One of `consents` of the explanation') })
  .register(requests, { id: 'ConsentRequest' });
export type ConsentRequest = z.output<typeof consentRequest>;

/** Save and stop put a desktop away; nobody may be connected, unless it is forced. */
const puttingAway = {
  ...because,
  force: z.boolean().exactOptional().describe('Even if a user is connected'),
  validForSeconds: z
    .int()
    .min(1)
    .max(86_400)
    .exactOptional()
    .describe('A forced operation is cancelled unless it begins within so many seconds; 600 when left out'),
};

export const putAwayRequest = z.strictObject(puttingAway).register(requests, { id: 'PutAwayRequest' });
export type PutAwayRequest = z.output<typeof putAwayRequest>;

export const saveRequest = z
  .strictObject({
    ...puttingAway,
    fresh: z
      .boolean()
      .exactOptional()
      .describe('Joins a save under way, and saves once more if that one does not put the desktop to sleep'),
  })
  .register(requests, { id: 'SaveRequest' });
export type SaveRequest = z.output<typeof saveRequest>;

export const restoreRequest = z
  .strictObject({
    ...because,
    checkpointId: z
      .string()
      .min(1)
      .max(64)
      .exactOptional()
      .meta({
        format: 'uuid',
        description:
          'A checkpoint that the desktop keeps, to wake it from instead of its current one. To name it is to consent: memory and disk ' +
          'go on from that moment, and what came after it is gone from the desktop. Newer checkpoints can be woken for as long as ' +
          'they are kept.',
      }),
  })
  .register(requests, { id: 'RestoreRequest' });
export type RestoreRequest = z.output<typeof restoreRequest>;

export const rehearseRequest = z
  .strictObject({ events: z.array(z.unknown()).max(1_000).describe('CloudEvents 1.0 events') })
  .register(requests, { id: 'RehearseRequest' });
export type RehearseRequest = z.output<typeof rehearseRequest>;

export const rotateKeysRequest = z
  .strictObject({
    ...because,
    rewrapOnly: z
      .boolean()
      .exactOptional()
      .describe('Makes no new key-encryption key: only wraps with the newest one what another one still wraps'),
  })
  .register(requests, { id: 'RotateKeysRequest' });
export type RotateKeysRequest = z.output<typeof rotateKeysRequest>;

export const putPoolRequest = z
  .strictObject({
    ...maybeBecause,
    policy: z.record(z.string(), z.unknown()).meta({
      description: 'As `policy` of the answer; all fields but `graceMs` and `keepCheckpoints` may be left out',
      example: {
        graceMs: 600_000,
        graceMsByReason: { idle: 60_000, network: 1_800_000 },
        keepCheckpoints: 2,
        keepCheckpointsForMs: 604_800_000,
        storm: {},
      },
    }),
  })
  .register(requests, { id: 'PutPoolRequest' });
export type PutPoolRequest = z.output<typeof putPoolRequest>;

export const createApiKeyRequest = z
  .strictObject({
    ...because,
    scope: z.enum(apiScopes).describe('Each allows what the ones before it allow, and more'),
    pools: z
      .array(identifier)
      .min(1)
      .exactOptional()
      .describe('Limits the key to these pools; left out, it is for everything'),
    expiresInDays: z.int().min(1).max(366).default(90),
  })
  .register(requests, { id: 'CreateApiKeyRequest' });
export type CreateApiKeyRequest = z.output<typeof createApiKeyRequest>;

export const pruneAuditRequest = z
  .strictObject({
    ...because,
    before: instant.describe('Removes the lines that are older than this; at least 30 days ago'),
  })
  .register(requests, { id: 'PruneAuditRequest' });
export type PruneAuditRequest = z.output<typeof pruneAuditRequest>;

/** A page of a list whose cursors look like this. */
const pageQuery = (cursor: RegExp) =>
  z.strictObject({
    limit: z.coerce.number().int().min(1).max(500).default(100).meta({ type: 'integer', minimum: 1, maximum: 500 }),
    cursor: z
      .string()
      .regex(cursor, 'must be `nextCursor` of the page before')
      .exactOptional()
      .describe('`nextCursor` of the page before'),
  });

export const desktopPageQuery = pageQuery(desktopIdPattern);
export const checkpointPageQuery = pageQuery(uuidPattern);
export const keyPageQuery = pageQuery(new RegExp(`^(content|desktop/${desktopIdPattern.source.slice(1, -1)})$`));
export type PageQuery = z.output<ReturnType<typeof pageQuery>>;

export const auditPageQuery = pageQuery(/^\d{1,18}$/).extend({
  actor: plainText(300).exactOptional().meta({ example: 'key:admin', description: 'Only what this one did' }),
  action: plainText(100).exactOptional().meta({ example: 'desktop.save' }),
  target: plainText(300).exactOptional().meta({ example: 'ada', description: 'Only what was done to this one' }),
});
export type AuditPageQuery = z.output<typeof auditPageQuery>;

export const auditExportQuery = z.strictObject({ before: instant.describe('Only lines older than this') });
export type AuditExportQuery = z.output<typeof auditExportQuery>;
