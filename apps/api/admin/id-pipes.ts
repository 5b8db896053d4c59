import { DormouseError } from '@dormouse/errors';
import {
  brokerName,
  desktopIdInWords,
  desktopIdPattern,
  identifierPattern,
  isDesktopId,
  isIdentifier,
  isPlainText,
  uuidPattern,
} from '@dormouse/text';
import { Injectable, type PipeTransform } from '@nestjs/common';

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
    if (uuidPattern.test(id)) return id;
    throw new DormouseError('OPERATION_UNKNOWN', 'no operation has this id; operation ids are UUIDs');
  }
}

@Injectable()
export class CheckpointIdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (uuidPattern.test(id)) return id;
    throw new DormouseError('CHECKPOINT_UNKNOWN', 'no checkpoint has this id; checkpoint ids are UUIDs');
  }
}
