import { absenceCauses, consents, machineStateNames, operationKindNames } from '@dormouse/session';
import { ApiProperty } from '@nestjs/swagger';
import { optionalTime, time } from './shapes';

const ranges = { type: 'array', items: { type: 'array', items: { type: 'integer' } } } as const;

class DoubtBody {
  @ApiProperty({
    enum: ['silent', 'missing', 'lost'],
    description:
      '`silent`: until its broker is heard again. `missing`: may still come. `lost`: only a snapshot can tell',
  })
  kind!: string;
  @ApiProperty({ description: 'The broker' }) source!: string;
  @ApiProperty({ type: String, nullable: true }) brokerEpoch!: string | null;
  @ApiProperty({ ...ranges, required: false, example: [[17, 18]], description: 'Sequence numbers, from and to' })
  gaps?: number[][];
  @ApiProperty({ type: String, nullable: true, required: false }) afterEpoch?: string | null;
}

class ExplainedPresenceBody {
  @ApiProperty({ enum: ['present', 'empty', 'unknown'] }) occupancy!: string;
  @ApiProperty({ type: [String] }) connections!: string[];
  @ApiProperty({ ...optionalTime, description: 'Since when nobody is there, or since when that is not certain' })
  since!: string | null;
  @ApiProperty({ type: String, enum: absenceCauses, nullable: true }) cause!: string | null;
  @ApiProperty({ type: DoubtBody, nullable: true, description: 'The first of `doubts`' }) doubt!: DoubtBody | null;
  @ApiProperty({ type: [DoubtBody], description: 'One for each broker that is in doubt' }) doubts!: DoubtBody[];
}

class NextBody {
  @ApiProperty({ enum: [...operationKindNames, 'thaw', 'nothing'] }) what!: string;
  @ApiProperty({ enum: ['time', 'user', 'worker', 'operator'] }) when!: string;
  @ApiProperty(optionalTime) at!: string | null;
}

class HindranceBody {
  @ApiProperty({ example: 'DESKTOP_HELD', description: 'Stable: match on it' }) code!: string;
  @ApiProperty() sentence!: string;
}

class ConsentBody {
  @ApiProperty({ enum: consents, description: 'From the one that loses least' }) to!: string;
  @ApiProperty({ type: String, format: 'uuid', nullable: true, description: 'What is woken; null: nothing is' })
  checkpointId!: string | null;
  @ApiProperty({ ...optionalTime, description: 'What is kept is as it was then' }) asOf!: string | null;
  @ApiProperty({ description: 'What is lost' }) sentence!: string;
}

export class ExplanationBody {
  @ApiProperty() desktopId!: string;
  @ApiProperty({ description: 'For people' }) sentence!: string;
  @ApiProperty({ enum: machineStateNames }) state!: string;
  @ApiProperty(time) stateSince!: string;
  @ApiProperty() presence!: ExplainedPresenceBody;
  @ApiProperty() next!: NextBody;
  @ApiProperty({ type: [HindranceBody], description: 'Why it was not put to sleep, or not woken' })
  hindrances!: HindranceBody[];
  @ApiProperty({ type: [ConsentBody], description: 'What can be done with one that cannot be woken' })
  consents!: ConsentBody[];
}
