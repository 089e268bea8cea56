import { useState } from "react";
import { useChange, useMore, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { TokenScope, TokensQuery } from "../../gql/graphql";
import { Answer } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { moment, NONE, words } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { Table } from "../../ui/Table";

const TOKENS = graphql(`
	query Tokens($after: String) {
		viewer {
			tokens(first: 100, after: $after) {
				pageInfo {
					hasNextPage
					endCursor
				}
				nodes {
					id
					description
					scope
					createdAt
					lastUsedAt
					expiresAt
					revokedAt
				}
			}
		}
	}
`);

const CREATE = graphql(`
	mutation CreateToken($input: CreateTokenInput!) {
		createToken(input: $input) {
			secret
			token {
				id
			}
		}
	}
`);

const REVOKE = graphql(`
	mutation RevokeToken($input: RevokeTokenInput!) {
		revokeToken(input: $input) {
			token {
				id
			}
		}
	}
`);

type Token = TokensQuery["viewer"]["tokens"]["nodes"][number];

const SCOPES: readonly TokenScope[] = ["READ", "WRITE", "ADMIN"];

/** The tokens of one's own account: with them, programs act as this account. */
export function Tokens({ scope }: { scope: TokenScope }) {
	const tokens = usePages(TOKENS, {}, (data) => data.viewer.tokens);
	const more = useMore(tokens);
	const revoke = useChange(REVOKE);
	const columns: readonly Column<Token>[] = [
		{ name: "For", cell: ({ description }) => <bdi>{description || NONE}</bdi> },
		{ name: "May do", cell: ({ scope }) => words(scope) },
		{ name: "Created", cell: ({ createdAt }) => moment(createdAt) },
		{ name: "Last used", cell: ({ lastUsedAt }) => (lastUsedAt ? moment(lastUsedAt) : "never") },
		{ name: "Expires", cell: ({ expiresAt }) => (expiresAt ? moment(expiresAt) : "never") },
		{
			name: "Action",
			cell: ({ id, revokedAt }) =>
				revokedAt ? (
					"revoked"
				) : (
					<button type="button" disabled={revoke.isPending} onClick={() => revoke.mutate({ input: { id } })}>
						Revoke
					</button>
				),
		},
	];
	return (
		<section aria-labelledby="tokens">
			<h2 id="tokens">Your tokens</h2>
			<Answer query={tokens} rows={3}>
				{({ pages }) => (
					<Table
						label="Your tokens"
						columns={columns}
						rows={pages.flatMap((page) => page.viewer.tokens.nodes)}
						rowKey={({ id }) => id}
						isNarrow
					/>
				)}
			</Answer>
			{tokens.hasNextPage && (
				<button type="button" onClick={more}>
					Show more
				</button>
			)}
			{revoke.error && <Problem error={revoke.error} />}
			<NewToken scope={scope} />
		</section>
	);
}

/** Makes a token, and shows its secret once. */
function NewToken({ scope }: { scope: TokenScope }) {
	const [description, setDescription] = useState("");
	const [wanted, setWanted] = useState<TokenScope>("READ");
	const create = useChange(CREATE);
	const allowed = SCOPES.slice(0, SCOPES.indexOf(scope) + 1);
	return (
		<form
			className="new-token"
			aria-label="New token"
			onSubmit={(event) => {
				event.preventDefault();
				create.mutate({ input: { description, scope: wanted } });
			}}
		>
			<label className="field">
				<span>A new token for</span>
				<input
					value={description}
					placeholder="such as my notebook"
					maxLength={200}
					required
					onChange={(event) => setDescription(event.target.value)}
				/>
			</label>
			<label className="field">
				<span>May do</span>
				<select value={wanted} onChange={(event) => setWanted(event.target.value as TokenScope)}>
					{allowed.map((scope) => (
						<option key={scope} value={scope}>
							{words(scope)}
						</option>
					))}
				</select>
			</label>
			<button type="submit" disabled={create.isPending}>
				Create
			</button>
			{create.error && <Problem error={create.error} />}
			{create.data && (
				<p role="status" className="notice">
					<code>{create.data.createToken.secret}</code>{" "}
					<button type="button" onClick={() => void navigator.clipboard.writeText(create.data.createToken.secret)}>
						Copy
					</button>
					<br />
					This is shown only now: the server does not keep it.
				</p>
			)}
		</form>
	);
}
