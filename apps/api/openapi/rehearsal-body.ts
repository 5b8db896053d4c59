import { brokerEventTypes, machineStateNames, operationKindNames } from '@dormouse/session';
import { ApiProperty } from '@nestjs/swagger';
import { optionalTime } from './shapes';

class RehearsedOperationBody {
  @ApiProperty({ enum: operationKindNames }) kind!: string;
  @ApiProperty({ enum: ['pending', 'succeeded', 'failed', 'cancelled', 'superseded'] }) becomes!: string;
}

class RehearsedBody {
  @ApiProperty() webhookId!: string;
  @ApiProperty({ enum: brokerEventTypes }) type!: string;
  @ApiProperty({ type: String, nullable: true, description: 'Null: it speaks of the broker itself' })
  desktopId!: string | null;
  @ApiProperty({ enum: ['applied', 'joined', 'ignored', 'stale', 'refused', 'duplicate'] }) outcome!: string;
  @ApiProperty() explanation!: string;
  @ApiProperty({ type: String, enum: machineStateNames, nullable: true, description: 'What the desktop would be then' })
  state!: string | null;
  @ApiProperty(optionalTime) graceDeadline!: string | null;
  @ApiProperty({ type: [RehearsedOperationBody] }) operations!: RehearsedOperationBody[];
}

export class RehearsalBody {
  @ApiProperty({ type: [RehearsedBody], description: 'In the order of the events' }) items!: RehearsedBody[];
}
