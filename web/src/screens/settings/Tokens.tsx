import { useState } from "react";
import { useChange, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { TokenScope, TokensQuery } from "../../gql/graphql";
import { Answer } from "../../ui/Answer";
import { CopyButton } from "../../ui/CopyButton";
import type { Column } from "../../ui/columns";
import { Dialog } from "../../ui/Dialog";
import { moment, NONE, words } from "../../ui/format";
import { More } from "../../ui/More";
import { Problem } from "../../ui/Problem";
import { Table } from "../../ui/Table";
import { WriteButton } from "../../ui/WriteButton";

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
	const [doomed, setDoomed] = useState<Token | null>(null);
	const columns: readonly Column<Token>[] = [
		{ name: "For", cell: ({ description }) => <bdi>{description || NONE}</bdi> },
		{ name: "May do", cell: ({ scope }) => words(scope) },
		{ name: "Created", cell: ({ createdAt }) => moment(createdAt) },
		{ name: "Last used", cell: ({ lastUsedAt }) => (lastUsedAt ? moment(lastUsedAt) : "never") },
		{ name: "Expires", cell: ({ expiresAt }) => (expiresAt ? moment(expiresAt) : "never") },
		{
			name: "Action",
			cell: (token) =>
				token.revokedAt ? (
					"revoked"
				) : (
					<button type="button" onClick={() => setDoomed(token)}>
						Revoke<span className="visually-hidden"> {token.description}</span>
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
			<More pages={tokens} />
			<NewToken scope={scope} />
			{doomed && <Revoke token={doomed} onClose={() => setDoomed(null)} />}
		</section>
	);
}

/** Revokes a token, once the reader is sure. */
function Revoke({ token, onClose }: { token: Token; onClose: () => void }) {
	const revoke = useChange(REVOKE);
	return (
		<Dialog
			title={token.description ? `Revoke the token for ${token.description}` : "Revoke the token"}
			onClose={onClose}
		>
			<p>
				Programs that use it are refused from now on, and so is this page if you signed in with it. This cannot be taken
				back.
			</p>
			{revoke.error && <Problem error={revoke.error} />}
			<p className="actions">
				<button
					type="button"
					disabled={revoke.isPending}
					onClick={() => revoke.mutate({ input: { id: token.id } }, { onSuccess: onClose })}
				>
					Revoke for good
				</button>
				<button type="button" onClick={onClose}>
					Cancel
				</button>
			</p>
		</Dialog>
	);
}

/** For how many days a token holds. The longest is as long as the server allows. */
const LIFETIMES = { "": "as long as possible", "30": "30 days", "90": "90 days", "365": "a year" };

/** Makes a token, and shows its secret once. */
function NewToken({ scope }: { scope: TokenScope }) {
	const [description, setDescription] = useState("");
	const [days, setDays] = useState("");
	const [wanted, setWanted] = useState<TokenScope>("READ");
	const create = useChange(CREATE);
	const allowed = SCOPES.slice(0, SCOPES.indexOf(scope) + 1);
	return (
		<form
			className="new-token"
			aria-label="New token"
			onSubmit={(event) => {
				event.preventDefault();
				create.mutate(
					{ input: { description, scope: wanted, expiresAt: days === "" ? null : inDays(Number(days)) } },
					{ onSuccess: () => setDescription("") },
				);
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
			<label className="field">
				<span>Holds for</span>
				<select value={days} onChange={(event) => setDays(event.target.value)}>
					{Object.entries(LIFETIMES).map(([days, name]) => (
						<option key={days} value={days}>
							{name}
						</option>
					))}
				</select>
			</label>
			<WriteButton type="submit" disabled={create.isPending}>
				Create
			</WriteButton>
			{create.error && <Problem error={create.error} />}
			{create.data && (
				<p role="status" className="notice">
					<code>{create.data.createToken.secret}</code> <CopyButton text={create.data.createToken.secret} />
					<br />
					This is shown only now: the server does not keep it.
				</p>
			)}
		</form>
	);
}

/** The moment that is some days from now. */
function inDays(days: number): string {
	return new Date(Date.now() + days * 86_400_000).toISOString();
}
