// Tests Apollo Client against a server: Relay-style pages, persisted queries, and an upload. Usage: node apollo.mjs URL VERSION
import { createHash } from 'node:crypto';
import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { relayStylePagination } from '@apollo/client/utilities';
import UploadHttpLink from 'apollo-upload-client/UploadHttpLink.mjs';

const [url, version] = process.argv.slice(2);

// The requests that were sent: the method of each, and whether it has a document.
const sent = [];
const counting = (address, options) => {
  sent.push([options.method, /query=|"query"/.test(`${address}${options.body ?? ''}`)]);
  return fetch(address, options);
};

const cache = () => new InMemoryCache({
  typePolicies: { Query: { fields: { models: relayStylePagination(['filter', 'orderBy']) } } },
});
const named = new PersistedQueryLink({
  sha256: (document) => createHash('sha256').update(document).digest('hex'),
  useGETForHashedQueries: true,
});
const client = new ApolloClient({ cache: cache(), link: named.concat(new HttpLink({ uri: url, fetch: counting })) });

const query = gql`query Models($first: Int, $after: String) {
  models(first: $first, after: $after) { edges { cursor node { id name } } pageInfo { hasNextPage endCursor } } }`;
const read = [];
let after;
for (;;) {
  const { data } = await client.query({ query, variables: { first: 2, after }, fetchPolicy: 'network-only' });
  read.push(data.models.edges.length);
  if (!data.models.pageInfo.hasNextPage) break;
  after = data.models.pageInfo.endCursor;
}
// The list that the cache has merged from all pages.
const names = client.readQuery({ query, variables: { first: 2 } }).models.edges.map((edge) => edge.node.name);

const uploading = new ApolloClient({
  cache: new InMemoryCache(),
  link: new UploadHttpLink({ uri: url, headers: { 'Apollo-Require-Preflight': 'true' } }),
});
// A PNG of one white pixel.
const pixel = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==', 'base64');
const { data } = await uploading.mutate({
  mutation: gql`mutation Predict($input: PredictInput!) { predict(input: $input) { predictions { probability } } }`,
  variables: { input: { versionId: version, image: new File([pixel], 'pixel.png', { type: 'image/png' }) } },
});
console.log(JSON.stringify({ read, names, sent, predictions: data.predict.predictions.length }));
client.stop();
uploading.stop();
