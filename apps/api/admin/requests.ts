import { DormouseError } from '@dormouse/errors';
import { apiScopes, type ApiScope } from '@dormouse/ledger';
import { consents, type Consent } from '@dormouse/session';
import {
  brokerName,
  desktopIdInWords,
  desktopIdPattern,
  identifierPattern,
  instantInWords,
  isDesktopId,
  isIdentifier,
  parseInstant,
} from '@dormouse/text';
import { Injectable, type PipeTransform } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayNotEmpty,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  Length,
  Matches,
  Max,
  Min,
  ValidateBy,
  ValidateIf,
} from 'class-validator';

export const defaultPool = 'default';
const longestReason = 500;

function isPlainText(value: unknown, longest: number): boolean {
  return typeof value === 'string' && value !== '' && value.length <= longest && !/[\p{Cc}\p{Cs}]/u.test(value);
}

/** What goes into the database, into log lines and onto terminals: no control characters, no halves of characters. */
const IsPlainText = (longest: number) =>
  ValidateBy({
    name: 'isPlainText',
    validator: {
      validate: (value): boolean => isPlainText(value, longest),
      defaultMessage: (about) =>
        `${about?.property} must be a text of 1 to ${longest} characters without control characters`,
    },
  });

const IsInstant = () =>
  ValidateBy({
    name: 'isInstant',
    validator: {
      validate: (value): boolean => typeof value === 'string' && parseInstant(value) !== null,
      defaultMessage: (about) => `${about?.property} must be ${instantInWords}`,
    },
  });

/** The moment of a field that `IsInstant` has let through. */
export function momentOf(text: string): Date {
  return parseInstant(text)!;
}

/** Who says why says it for the audit log; what needs no reason may have one. */
export class OptionalReasonRequest {
  @ApiPropertyOptional({ example: 'a new colleague', description: 'Goes into the audit log' })
  @IsOptional()
  @IsPlainText(longestReason)
  reason?: string;
}

export class PutDesktopRequest extends OptionalReasonRequest {
  @ApiPropertyOptional({ default: defaultPool })
  @IsOptional()
  @Matches(identifierPattern)
  poolId: string = defaultPool;

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
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
  })
  @IsObject()
  launchSpec!: Record<string, unknown>;
}

export class ReasonRequest {
  @ApiProperty({ example: 'maintenance of the host', description: 'Goes into the audit log' })
  @IsPlainText(longestReason)
  reason!: string;
}

export class HoldRequest extends ReasonRequest {
  @ApiProperty({ format: 'date-time', description: 'From now on, at most a year ahead' })
  @IsInstant()
  until!: string;
}

export class BrokerRequest extends ReasonRequest {
  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Its CloudEvents `source`. Null: of the broker that speaks of the desktop next',
  })
  @Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? brokerName(value) : value))
  @ValidateIf(({ source }: BrokerRequest) => source !== null)
  @IsPlainText(256)
  source!: string | null;
}

export class PrewarmRequest extends ReasonRequest {
  @ApiPropertyOptional({ format: 'date-time', description: 'Also holds the desktop until then' })
  @IsOptional()
  @IsInstant()
  until?: string;
}

export class ConsentRequest extends ReasonRequest {
  @ApiProperty({ enum: consents, description: 'One of `consents` of the explanation' })
  @IsIn(consents)
  to!: Consent;
}

/** Save and stop put a desktop away; nobody is to be there, unless it is forced. */
export class PutAwayRequest extends ReasonRequest {
  @ApiPropertyOptional({ description: 'Also when a user is connected', default: false })
  @IsOptional()
  @IsBoolean()
  force?: boolean;

  @ApiPropertyOptional({
    description: 'When it is forced: called off unless it begins within so many seconds',
    minimum: 1,
    maximum: 86_400,
    default: 600,
  })
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(86_400)
  validForSeconds?: number;
}

export class SaveRequest extends PutAwayRequest {
  @ApiPropertyOptional({
    description: 'A save under way is joined, and followed by one more if it does not put the desktop to sleep',
    default: false,
  })
  @IsOptional()
  @IsBoolean()
  fresh?: boolean;
}

export class RestoreRequest extends ReasonRequest {
  @ApiPropertyOptional({
    format: 'uuid',
    description:
      'A checkpoint that the desktop keeps, when it is not its current one that is to be woken. To name it is to consent: ' +
      'memory and disk go on from that moment, and what came after it is gone from the desktop. Newer checkpoints can ' +
      'be woken for as long as they are kept.',
  })
  @IsOptional()
  @Length(1, 64)
  checkpointId?: string;
}

export class RehearseRequest {
  @ApiProperty({ type: 'array', items: { type: 'object', description: 'A CloudEvents 1.0 event' }, maxItems: 1_000 })
  @IsArray()
  @ArrayMaxSize(1_000)
  events!: unknown[];
}

export class RotateKeysRequest extends ReasonRequest {
  @ApiPropertyOptional({
    description: 'No new key-encryption key: only wrap with the newest one what is not yet',
    default: false,
  })
  @IsOptional()
  @IsBoolean()
  rewrapOnly?: boolean;
}

export class PutPoolRequest extends OptionalReasonRequest {
  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'As `policy` of the answer; all but `graceMs` and `keepCheckpoints` may be left out',
    example: {
      graceMs: 600_000,
      graceMsByReason: { idle: 60_000, network: 1_800_000 },
      keepCheckpoints: 2,
      keepCheckpointsForMs: 604_800_000,
      storm: {},
    },
  })
  @IsObject()
  policy!: Record<string, unknown>;
}

class PageLimit {
  @ApiPropertyOptional({ default: 100, minimum: 1, maximum: 500 })
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(500)
  limit: number = 100;
}

export class PageQuery extends PageLimit {
  @ApiPropertyOptional({ description: '`nextCursor` of the page before' })
  @IsOptional()
  @Matches(desktopIdPattern)
  cursor?: string;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export class CheckpointPageQuery extends PageLimit {
  @ApiPropertyOptional({ description: '`nextCursor` of the page before' })
  @IsOptional()
  @Matches(uuid)
  cursor?: string;
}

export class KeyPageQuery extends PageLimit {
  @ApiPropertyOptional({ description: '`nextCursor` of the page before' })
  @IsOptional()
  @Matches(new RegExp(`^(content|desktop/${desktopIdPattern.source.slice(1, -1)})$`))
  cursor?: string;
}

export class CreateApiKeyRequest extends ReasonRequest {
  @ApiProperty({ enum: apiScopes, description: 'Each allows what the ones before it allow, and more' })
  @IsIn(apiScopes)
  scope!: ApiScope;

  @ApiPropertyOptional({ type: [String], description: 'Limits the key to these pools; left out, it is for everything' })
  @IsOptional()
  @IsArray()
  @ArrayNotEmpty()
  @Matches(identifierPattern, { each: true })
  pools?: string[];

  @ApiPropertyOptional({ default: 90, minimum: 1, maximum: 366 })
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(366)
  expiresInDays: number = 90;
}

export class AuditPageQuery extends PageLimit {
  @ApiPropertyOptional({ description: '`nextCursor` of the page before' })
  @IsOptional()
  @Matches(/^\d{1,18}$/)
  cursor?: string;

  @ApiPropertyOptional({ example: 'key:admin', description: 'Only what this one did' })
  @IsOptional()
  @IsPlainText(300)
  actor?: string;

  @ApiPropertyOptional({ example: 'desktop.save' })
  @IsOptional()
  @IsPlainText(100)
  action?: string;

  @ApiPropertyOptional({ example: 'ada', description: 'Only what was done to this one' })
  @IsOptional()
  @IsPlainText(300)
  target?: string;
}

export class AuditExportQuery {
  @ApiProperty({ format: 'date-time', description: 'Only lines older than this' })
  @IsInstant()
  before!: string;
}

export class PruneAuditRequest extends ReasonRequest {
  @ApiProperty({ format: 'date-time', description: 'Lines older than this are removed; at least 30 days ago' })
  @IsInstant()
  before!: string;
}

/** Ids in addresses become names of files and queues: nothing else gets through. */
@Injectable()
export class DesktopIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (isDesktopId(id)) return id;
    throw new DormouseError('REQUEST_INVALID', desktopIdInWords, { pattern: desktopIdPattern.source });
  }
}

/** Of pools, hosts and keys. */
@Injectable()
export class IdentifierPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (isIdentifier(id)) return id;
    throw new DormouseError(
      'REQUEST_INVALID',
      'an id is 1 to 63 lower-case letters, digits and hyphens, beginning with a letter or digit',
      { pattern: identifierPattern.source },
    );
  }
}

/** In the one form in which brokers' names are kept. */
@Injectable()
export class BrokerNamePipe implements PipeTransform<string, string> {
  transform(source: string): string {
    const name = brokerName(source);
    if (isPlainText(name, 256)) return name;
    throw new DormouseError('REQUEST_INVALID', 'the source of a broker is a text of 1 to 256 characters');
  }
}

@Injectable()
export class OperationIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (uuid.test(id)) return id;
    throw new DormouseError('OPERATION_UNKNOWN', 'no operation has this id; operation ids are UUIDs');
  }
}

@Injectable()
export class CheckpointIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (uuid.test(id)) return id;
    throw new DormouseError('CHECKPOINT_UNKNOWN', 'no checkpoint has this id; checkpoint ids are UUIDs');
  }
}
