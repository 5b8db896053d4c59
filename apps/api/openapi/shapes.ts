/** Parts of schemas that bodies share. */
export const time = { format: 'date-time', type: String } as const;
export const optionalTime = { ...time, nullable: true } as const;
export const anyObject = { type: 'object', additionalProperties: true } as const;
