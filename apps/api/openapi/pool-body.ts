import { capNames, consents, dayNames } from '@dormouse/session';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { time } from './shapes';

const graceByReason = {
  type: 'object',
  additionalProperties: { type: 'integer' },
  example: { idle: 60_000, network: 1_800_000 },
  description: 'By why nobody is there; where it says nothing, `graceMs` counts',
} as const;

class PhaseBody {
  @ApiProperty({ example: 'night' }) name!: string;
  @ApiProperty({ enum: dayNames, isArray: true, description: 'A `holiday` is no weekday' }) days!: string[];
  @ApiProperty({ example: '18:00' }) from!: string;
  @ApiProperty({ example: '08:00', description: 'When it is before `from`: of the next day' }) to!: string;
  @ApiProperty({ required: false }) graceMs?: number;
  @ApiPropertyOptional(graceByReason) graceMsByReason?: object;
}

class ScheduleBody {
  @ApiProperty({ example: 'Europe/Berlin' }) timeZone!: string;
  @ApiProperty({ type: [String], required: false, example: ['2030-12-25'] }) holidays?: string[];
  @ApiProperty({ type: [PhaseBody], description: 'The first that holds counts' }) phases!: PhaseBody[];
}

class LogoffPolicyBody {
  @ApiProperty({ enum: ['power-off', 'save'] }) action!: string;
  @ApiProperty({ default: 3_000, description: 'How long a disconnect waits for the logoff it belongs to' })
  settleMs!: number;
}

class StormPolicyBody {
  @ApiProperty({ default: 30, description: 'A storm begins when more than this share of those in use …' })
  percent!: number;
  @ApiProperty({ default: 60_000, description: '… have left within this time, …' }) withinMs!: number;
  @ApiProperty({ default: 20, description: '… and they are at least this many' }) atLeast!: number;
  @ApiProperty({ default: 600_000, description: 'None of them is put to sleep for this long …' }) graceMs!: number;
  @ApiProperty({ default: 60, description: '… and after that about this many a minute' }) perMinute!: number;
}

class PolicyBody {
  @ApiProperty({ description: 'How long a desktop waits for its user before it is saved' }) graceMs!: number;
  @ApiPropertyOptional(graceByReason) graceMsByReason?: object;
  @ApiProperty({ required: false, description: 'Times of the week at which other graces count' })
  schedule?: ScheduleBody;
  @ApiProperty({ description: 'Durable checkpoints that are kept, the current one among them' })
  keepCheckpoints!: number;
  @ApiProperty({ required: false, description: 'Besides those, durable checkpoints younger than this are kept' })
  keepCheckpointsForMs?: number;
  @ApiProperty({ required: false, description: 'After a wake it stays up at least this long' }) minResidencyMs?: number;
  @ApiProperty({ required: false, description: 'Once saved it stays in memory this long, in case its user returns' })
  lingerMs?: number;
  @ApiProperty({ required: false, description: 'Without it a logoff is a disconnect like any other' })
  logoff?: LogoffPolicyBody;
  @ApiProperty({
    enum: consents,
    isArray: true,
    required: false,
    description: 'What is done by itself, though it loses work, with a desktop that cannot be woken',
  })
  consents?: string[];
  @ApiProperty({ required: false, description: 'Put to sleep only when somebody forces it' }) neverSave?: boolean;
  @ApiProperty({
    required: false,
    description:
      'One that was woken, not used, and has written nothing to its disks goes back to its checkpoint unsaved',
  })
  forgetUnused?: boolean;
  @ApiProperty({ required: false, description: 'When many leave at once; `{}` takes what is usual' })
  storm?: StormPolicyBody;
  @ApiPropertyOptional({
    type: 'object',
    properties: Object.fromEntries(capNames.map((cap) => [cap, { type: 'integer', minimum: 1 }])),
    example: { running: 500, waking: 20, saving: 10 },
    description:
      'How many of its desktops at most have a machine, wake, or are saved at once; the others wait their turn',
  })
  caps?: object;
  @ApiProperty({
    required: false,
    oneOf: [
      { type: 'string', enum: ['first', 'any'] },
      { type: 'array', items: { type: 'string' } },
    ],
    example: ['/broker/eu'],
    description:
      'Who may speak of its desktops. `first`, which holds when it is left out: of each the broker that was the first to; `any`: ' +
      'all, of all; a list: these, of all',
  })
  brokers?: string | string[];
}

class StormBody {
  @ApiProperty({ type: String, nullable: true, description: 'Null: all of the pool' }) broker!: string | null;
  @ApiProperty({ enum: ['many_left', 'broker_started'] }) cause!: string;
  @ApiProperty({ description: 'How many had left when it was noticed' }) left!: number;
  @ApiProperty({ description: 'Of how many that were in use' }) inUse!: number;
  @ApiProperty({ ...time, description: 'Whoever left between this …' }) from!: string;
  @ApiProperty({ ...time, description: '… and this is concerned, and not put to sleep before' }) until!: string;
  @ApiProperty({ ...time, description: 'By then they have been let go, one after the other' }) releasedUntil!: string;
}

export class PoolBody {
  @ApiProperty() id!: string;
  @ApiProperty() policy!: PolicyBody;
  @ApiProperty({ type: [StormBody], description: 'Those that still keep desktops up' }) storms!: StormBody[];
  @ApiProperty(time) createdAt!: string;
  @ApiProperty(time) updatedAt!: string;
}
