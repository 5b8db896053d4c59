/** The steps of the database's schema, oldest first, written by hand. A step that was released is never changed. */
import { FirstLight1795300000000 } from './1795300000000-first-light';
import { DataKeys1795400000000 } from './1795400000000-data-keys';
import { Retention1795500000000 } from './1795500000000-retention';
import { Absences1796000000000 } from './1796000000000-absences';
import { IdempotencyKeys1796100000000 } from './1796100000000-idempotency-keys';
import { OneMoreSave1796200000000 } from './1796200000000-one-more-save';
import { ApiKeys1797000000000 } from './1797000000000-api-keys';
import { ManyHosts1797100000000 } from './1797100000000-many-hosts';
import { AwaitedOperations1797570000000 } from './1797570000000-awaited-operations';
import { PoolCaps1797570100000 } from './1797570100000-pool-caps';
import { Assignments1797570200000 } from './1797570200000-assignments';
import { TimersWait1797600000000 } from './1797600000000-timers-wait';
import { Untouched1797800000000 } from './1797800000000-untouched';
import { NumberedSlots1797900000000 } from './1797900000000-numbered-slots';
import { WakesInVain1798000000000 } from './1798000000000-wakes-in-vain';
import { Brokers1798100000000 } from './1798100000000-brokers';
import { PresenceBySource1798200000000 } from './1798200000000-presence-by-source';
import { EventIdentity1798300000000 } from './1798300000000-event-identity';
import { BoundedHistory1798500000000 } from './1798500000000-bounded-history';
import { OperationsExpire1798600000000 } from './1798600000000-operations-expire';
import { HostsAreClaimed1798600100000 } from './1798600100000-hosts-are-claimed';
import { GuestConditions1798800000000 } from './1798800000000-guest-conditions';
import { DesktopsBelongToBrokers1798800200000 } from './1798800200000-desktops-belong-to-brokers';
import { DesktopsByKey1798800300000 } from './1798800300000-desktops-by-key';
import { HostTroubles1798900000000 } from './1798900000000-host-troubles';

export const migrations = [
  FirstLight1795300000000,
  DataKeys1795400000000,
  Retention1795500000000,
  Absences1796000000000,
  IdempotencyKeys1796100000000,
  OneMoreSave1796200000000,
  ApiKeys1797000000000,
  ManyHosts1797100000000,
  AwaitedOperations1797570000000,
  PoolCaps1797570100000,
  Assignments1797570200000,
  TimersWait1797600000000,
  Untouched1797800000000,
  NumberedSlots1797900000000,
  WakesInVain1798000000000,
  Brokers1798100000000,
  PresenceBySource1798200000000,
  EventIdentity1798300000000,
  BoundedHistory1798500000000,
  OperationsExpire1798600000000,
  HostsAreClaimed1798600100000,
  GuestConditions1798800000000,
  DesktopsBelongToBrokers1798800200000,
  DesktopsByKey1798800300000,
  HostTroubles1798900000000,
];
