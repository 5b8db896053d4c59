import type { RuleName } from './transitions';
import { operationRules } from './operation-rules';
import type { Rule } from './rule';
import { sessionRules } from './session-rules';

/** Every rule of the transition table, as the function that carries it out. */
export const ruleBook: Readonly<Record<RuleName, Rule>> = { ...sessionRules, ...operationRules };
