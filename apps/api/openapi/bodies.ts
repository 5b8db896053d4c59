import { errorCodes } from '@dormouse/errors';
import { apiScopes } from '@dormouse/ledger';
import { absenceCauses, guestConditions, keepReasons, machineStateNames, operationKindNames } from '@dormouse/session';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { anyObject, optionalTime, time } from './shapes';

/** Shapes of answers, for the OpenAPI document only: the values themselves are the ledger's views. */
export class ProblemBody {
  @ApiProperty({ example: 'urn:dormouse:problem:desktop-unknown' }) type!: string;
  @ApiProperty() title!: string;
  @ApiProperty() status!: number;
  @ApiProperty({ description: 'What happened, and where there is one, what to do next' }) detail!: string;
  @ApiProperty({ enum: Object.keys(errorCodes), description: 'Stable: match on it' }) code!: string;
  @ApiProperty({ example: '/v1/desktops/desk-1' }) instance!: string;
  @ApiProperty() requestId!: string;
}

class AcknowledgedDesktop {
  @ApiProperty() id!: string;
  @ApiProperty({ enum: machineStateNames }) machineState!: string;
  @ApiProperty({ type: Number, nullable: true, description: 'Until it answers, in ms; null when that is not known' })
  etaMs!: number | null;
}

export class AcknowledgementBody {
  @ApiProperty({ enum: [true] }) accepted!: true;
  @ApiProperty({ description: 'Seen before, as this webhook or as this event: nothing was done' }) duplicate!: boolean;
  @ApiProperty({ enum: ['applied', 'ignored', 'stale', 'duplicate'] }) outcome!: string;
  @ApiProperty({ type: AcknowledgedDesktop, nullable: true }) desktop!: AcknowledgedDesktop | null;
  @ApiPropertyOptional({ type: [String], description: 'What was wrong with side fields, which count as missing' })
  notes?: string[];
}

class ConditionBody {
  @ApiProperty({ enum: guestConditions }) kind!: string;
  @ApiProperty(time) since!: string;
  @ApiProperty({ type: String, nullable: true, description: 'What QEMU says besides' }) about!: string | null;
}

class ErrorBody {
  @ApiProperty() code!: string;
  @ApiProperty() message!: string;
  @ApiProperty(anyObject) details!: object;
}

export class OperationBody {
  @ApiProperty({ format: 'uuid' }) id!: string;
  @ApiProperty() desktopId!: string;
  @ApiProperty({ enum: operationKindNames }) kind!: string;
  @ApiProperty() phase!: string;
  @ApiProperty({ enum: ['pending', 'active', 'succeeded', 'failed', 'cancelled', 'superseded'] }) status!: string;
  @ApiProperty({ description: 'The generation of the desktop that this operation opened' }) generation!: number;
  @ApiProperty() reason!: string;
  @ApiProperty() requestedBy!: string;
  @ApiProperty({ description: 'An admin wants it although somebody may be there' }) forced!: boolean;
  @ApiProperty({ ...anyObject, nullable: true, description: 'Who wants one more, if this one does not end asleep' })
  again!: object | null;
  @ApiProperty({ type: String, nullable: true }) hostId!: string | null;
  @ApiProperty({ type: String, nullable: true, description: 'The worker that has taken it' }) workerId!: string | null;
  @ApiProperty({ description: 'How often a worker has taken it' }) attempt!: number;
  @ApiProperty({ ...optionalTime, description: 'A forced one that has not begun by then is called off' })
  validUntil!: string | null;
  @ApiProperty(optionalTime) cancelRequestedAt!: string | null;
  @ApiProperty({
    ...anyObject,
    example: { doneBytes: 402_653_184, totalBytes: 1_073_741_824 },
    description: '`doneBytes` of `totalBytes` of memory, where some is moved; `waitingFor`: why it cannot begin yet',
  })
  progress!: object;
  @ApiProperty({ ...anyObject, nullable: true }) result!: object | null;
  @ApiProperty({ type: ErrorBody, nullable: true }) error!: ErrorBody | null;
  @ApiProperty(time) createdAt!: string;
  @ApiProperty(optionalTime) startedAt!: string | null;
  @ApiProperty(time) phaseSince!: string;
  @ApiProperty(optionalTime) endedAt!: string | null;
}

const forecast = { type: Number, nullable: true } as const;

class SpreadBody {
  @ApiProperty() leastMs!: number;
  @ApiProperty() mostMs!: number;
}

class EtaBody {
  @ApiProperty({
    ...forecast,
    description: 'Until the desktop answers; null when it brings up none or nothing is known',
  })
  readyMs!: number | null;
  @ApiProperty({
    ...forecast,
    description: 'Until it is done, from when a worker takes it; null when nothing is known',
  })
  doneMs!: number | null;
  @ApiProperty({ type: SpreadBody, nullable: true, description: 'What the quickest and the slowest of those took' })
  spread!: SpreadBody | null;
  @ApiProperty({ description: 'From how many earlier ones of its kind that is known; 0: from its own pace' })
  learnedFrom!: number;
  @ApiProperty({ type: String, enum: ['desktop', 'pool'], nullable: true, description: 'Whose they were' })
  of!: string | null;
}

export class ExpectedOperationBody extends OperationBody {
  @ApiProperty({ type: EtaBody, nullable: true, description: 'What is to be expected; null when it has ended' })
  eta!: EtaBody | null;
}

class SourceBody {
  @ApiProperty({ description: 'CloudEvents `source` of the broker' }) source!: string;
  @ApiProperty({ type: [String] }) connections!: string[];
  @ApiProperty({ description: 'False: it is not certain that these are all' }) certain!: boolean;
  @ApiProperty({ type: String, nullable: true }) brokerEpoch!: string | null;
  @ApiProperty({ type: Number, nullable: true }) sequence!: number | null;
}

class PresenceBody {
  @ApiProperty({ enum: ['present', 'empty', 'unknown'] }) occupancy!: string;
  @ApiProperty({ type: [String] }) connections!: string[];
  @ApiProperty({ type: String, nullable: true }) brokerEpoch!: string | null;
  @ApiProperty({ type: Number, nullable: true }) sequence!: number | null;
  @ApiProperty({ type: [SourceBody], description: 'What each broker says: the presence is the union' })
  sources!: SourceBody[];
  @ApiProperty({ ...optionalTime, description: 'Since when it is not certain' }) unknownSince!: string | null;
  @ApiProperty({ ...optionalTime, description: 'Since when its user, though connected, has not touched it' })
  idleSince!: string | null;
}

class AssignmentBody {
  @ApiProperty({ enum: ['assigned', 'unassigned', 'deleted'] }) kind!: string;
  @ApiProperty({ type: String, nullable: true }) userRef!: string | null;
}

class AbsenceBody {
  @ApiProperty(time) since!: string;
  @ApiProperty({ enum: absenceCauses }) cause!: string;
}

class HoldBody {
  @ApiProperty(time) until!: string;
  @ApiProperty() by!: string;
  @ApiProperty() reason!: string;
}

export class DesktopBody {
  @ApiProperty() id!: string;
  @ApiProperty() poolId!: string;
  @ApiProperty({ type: String, nullable: true }) hostId!: string | null;
  @ApiProperty(anyObject) launchSpec!: object;
  @ApiProperty({ ...anyObject, nullable: true }) fingerprint!: object | null;
  @ApiProperty({ enum: machineStateNames }) state!: string;
  @ApiProperty(time) stateSince!: string;
  @ApiProperty() generation!: number;
  @ApiProperty() presence!: PresenceBody;
  @ApiProperty({
    type: String,
    nullable: true,
    description: 'The broker it belongs to: the first that spoke of it, or the one that was named',
  })
  broker!: string | null;
  @ApiProperty({ type: AssignmentBody, nullable: true, description: 'What its broker said last of whose it is' })
  assignment!: AssignmentBody | null;
  @ApiProperty({ type: AbsenceBody, nullable: true, description: 'Since when and why nobody is there' })
  absence!: AbsenceBody | null;
  @ApiProperty({ type: HoldBody, nullable: true, description: 'Not put to sleep before' }) hold!: HoldBody | null;
  @ApiProperty(optionalTime) graceDeadline!: string | null;
  @ApiProperty({ type: OperationBody, nullable: true }) operation!: OperationBody | null;
  @ApiProperty({ type: String, format: 'uuid', nullable: true }) checkpointId!: string | null;
  @ApiProperty({ type: String, format: 'uuid', nullable: true }) diskGeneration!: string | null;
  @ApiProperty() restoreFailures!: number;
  @ApiProperty({
    type: ConditionBody,
    nullable: true,
    description: 'What QEMU says of its guest, while that does not simply run',
  })
  condition!: ConditionBody | null;
  @ApiProperty({ type: ErrorBody, nullable: true }) lastError!: ErrorBody | null;
  @ApiProperty(time) createdAt!: string;
  @ApiProperty(time) updatedAt!: string;
}

export class DesktopPageBody {
  @ApiProperty({ type: [DesktopBody] }) items!: DesktopBody[];
  @ApiProperty({ type: String, nullable: true, description: 'Pass as `cursor` for the next page' })
  nextCursor!: string | null;
}

class PinBody {
  @ApiProperty(time) at!: string;
  @ApiProperty() by!: string;
  @ApiProperty() reason!: string;
}

export class CheckpointBody {
  @ApiProperty({ format: 'uuid' }) id!: string;
  @ApiProperty() desktopId!: string;
  @ApiProperty({ enum: ['writing', 'durable', 'condemned', 'deleted'] }) state!: string;
  @ApiProperty({ description: 'Where its own objects are in the storage' }) storagePrefix!: string;
  @ApiProperty({ type: String, format: 'uuid', nullable: true, description: 'The disk layer sealed with it' })
  diskGeneration!: string | null;
  @ApiProperty() ramBytes!: number;
  @ApiProperty({ description: 'Bytes of its own in the storage' }) storedBytes!: number;
  @ApiProperty(anyObject) facts!: object;
  @ApiProperty(time) createdAt!: string;
  @ApiProperty(optionalTime) durableAt!: string | null;
  @ApiProperty({ type: String, format: 'uuid', nullable: true, description: 'The desktop’s checkpoint before it' })
  parentId!: string | null;
  @ApiProperty({ ...optionalTime, description: 'When a desktop was last woken from it to the last page' })
  restoredAt!: string | null;
  @ApiProperty(optionalTime) condemnedAt!: string | null;
  @ApiProperty({ type: PinBody, nullable: true }) pin!: PinBody | null;
  @ApiProperty({ description: 'The desktop sleeps in it, or has gone on from it' }) current!: boolean;
  @ApiProperty({ enum: keepReasons, isArray: true, description: 'Why it stays; empty when it does not' })
  keptBecause!: string[];
}

export class CheckpointPageBody {
  @ApiProperty({ type: [CheckpointBody] }) items!: CheckpointBody[];
  @ApiProperty({ type: String, nullable: true, description: 'Pass as `cursor` for the next page' })
  nextCursor!: string | null;
}

export class HostBody {
  @ApiProperty() id!: string;
  @ApiProperty(anyObject) capabilities!: object;
  @ApiProperty(time) startedAt!: string;
  @ApiProperty(time) seenAt!: string;
  @ApiProperty({ description: 'Heard from lately enough to be given work' }) alive!: boolean;
  @ApiProperty({ enum: ['open', 'cordoned', 'draining', 'fenced'], description: 'Only an open one is given machines' })
  intent!: string;
  @ApiProperty({ type: String, nullable: true }) intentReason!: string | null;
  @ApiProperty({ description: 'Desktops that have a machine there, or may have' }) machines!: number;
  @ApiProperty({ description: 'What these may use of its memory' }) usedMiB!: number;
}

export class BrokerBody {
  @ApiProperty({ description: 'Its CloudEvents `source`' }) id!: string;
  @ApiProperty({ description: 'How soon each heartbeat follows the one before' }) intervalSeconds!: number;
  @ApiProperty({ ...time, description: 'Its last heartbeat' }) heardAt!: string;
  @ApiProperty({ ...optionalTime, description: 'Who is at its desktops is not known since then; null: it is heard' })
  silentSince!: string | null;
}

export class RetiredBrokerBody {
  @ApiProperty({ description: 'Its CloudEvents `source`' }) id!: string;
  @ApiProperty({ description: 'Of how many desktops it had said something' }) desktops!: number;
}

export class BrokerListBody {
  @ApiProperty({ type: [BrokerBody] }) items!: BrokerBody[];
}

export class HostListBody {
  @ApiProperty({ type: [HostBody] }) items!: HostBody[];
}

export class OperationListBody {
  @ApiProperty({ type: [OperationBody] }) items!: OperationBody[];
}

export class KeyBody {
  @ApiProperty({ example: 'desktop/ada', description: 'What the key is for: `content`, or `desktop/` and its id' })
  scope!: string;
  @ApiProperty({ format: 'uuid', description: 'What is encrypted with the key names it so' }) keyId!: string;
  @ApiProperty({ description: 'The key-encryption key that wraps it' }) kekId!: string;
  @ApiProperty(time) createdAt!: string;
  @ApiProperty(time) wrappedAt!: string;
}

export class KeyPageBody {
  @ApiProperty({ type: [KeyBody] }) items!: KeyBody[];
  @ApiProperty({ type: String, nullable: true, description: 'Pass as `cursor` for the next page' })
  nextCursor!: string | null;
}

class RejectedKeyBody {
  @ApiProperty() scope!: string;
  @ApiProperty() message!: string;
}

export class KeyRotationBody {
  @ApiProperty({ description: 'The key-encryption key that wraps from now on' }) kekId!: string;
  @ApiProperty({ description: 'Keys that this request has wrapped anew' }) rewrapped!: number;
  @ApiProperty({ description: 'Keys still wrapped otherwise: ask again with `rewrapOnly` until it is 0' })
  remaining!: number;
  @ApiProperty({ type: [RejectedKeyBody], description: 'Keys that cannot be unwrapped; they stay as they are' })
  rejected!: RejectedKeyBody[];
}

export class ApiKeyBody {
  @ApiProperty({ example: 'service-desk' }) name!: string;
  @ApiProperty({ enum: apiScopes }) scope!: string;
  @ApiProperty({ type: [String], nullable: true, description: 'What it is limited to; null for everything' })
  pools!: string[] | null;
  @ApiProperty({ enum: ['valid', 'expired', 'revoked'] }) state!: string;
  @ApiProperty(time) createdAt!: string;
  @ApiProperty() createdBy!: string;
  @ApiProperty(time) expiresAt!: string;
  @ApiProperty({ ...optionalTime, description: 'To the minute' }) lastUsedAt!: string | null;
  @ApiProperty(optionalTime) revokedAt!: string | null;
  @ApiProperty({ type: String, nullable: true }) revokedBy!: string | null;
}

export class NewApiKeyBody extends ApiKeyBody {
  @ApiProperty({ description: 'The key itself: it is shown this once' }) key!: string;
}

export class ApiKeyListBody {
  @ApiProperty({ type: [ApiKeyBody] }) items!: ApiKeyBody[];
}

class AuditBody {
  @ApiProperty() id!: string;
  @ApiProperty(time) at!: string;
  @ApiProperty({ example: 'key:service-desk' }) actor!: string;
  @ApiProperty({ example: 'desktop.save' }) action!: string;
  @ApiProperty({ example: 'ada' }) target!: string;
  @ApiProperty({ type: String, nullable: true }) reason!: string | null;
  @ApiProperty({ description: 'What came of it: applied, joined, ignored, accepted, or the code of the refusal' })
  outcome!: string;
  @ApiProperty(anyObject) details!: object;
}

export class PrunedAuditBody {
  @ApiProperty({ description: 'Lines that were removed' }) removed!: number;
}

export class AuditPageBody {
  @ApiProperty({ type: [AuditBody] }) items!: AuditBody[];
  @ApiProperty({ type: String, nullable: true, description: 'Pass as `cursor` for the next page' })
  nextCursor!: string | null;
}
