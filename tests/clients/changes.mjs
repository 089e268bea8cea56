// Lists the changes between two schemas with npm `graphql-inspector`; fails if a change breaks clients.
// Usage: node changes.mjs OLD NEW
import { readFileSync } from 'node:fs';
import { CriticalityLevel, diff } from '@graphql-inspector/core';
import { buildSchema } from 'graphql';

const [before, after] = process.argv.slice(2).map((path) => buildSchema(readFileSync(path, 'utf8')));
const changes = await diff(before, after);
for (const change of changes) {
  console.log(`${change.criticality.level}: ${change.message}`);
}
const breaking = changes.filter((change) => change.criticality.level === CriticalityLevel.Breaking).length;
console.log(`${changes.length} changes, ${breaking} of them breaking`);
process.exit(breaking > 0 ? 1 : 0);
