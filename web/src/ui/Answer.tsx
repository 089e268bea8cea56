import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { CopyButton } from "./CopyButton";
import { Problem } from "./Problem";
import { Title } from "./Title";
import "./Answer.css";

interface AnswerProps<Data> {
	query: Pick<UseQueryResult<Data>, "data" | "error" | "isPlaceholderData"> & {
		refetch: () => unknown;
		/** Whether the error is that of a further page, which stands below the others. */
		isFetchNextPageError?: boolean;
	};
	/** The heading of the screen until its own one is there, if this is the whole screen. */
	title?: string;
	/** Rows of the skeleton that stands for what loads. */
	rows?: number;
	children: (data: Data) => ReactNode;
}

/** What a query answered; until then, a skeleton; in its place, its error. */
export function Answer<Data>({ query, title, rows = 3, children }: AnswerProps<Data>) {
	const problem = query.error && <Problem error={query.error} retry={() => void query.refetch()} />;
	if (query.data === undefined) {
		return (
			<>
				{title && <Title>{title}</Title>}
				{problem ?? <Skeleton rows={rows} />}
			</>
		);
	}
	// What is there stays, also what the reader has typed into it.
	return (
		<div className="answer" aria-busy={query.isPlaceholderData}>
			{!query.isFetchNextPageError && problem}
			{children(query.data)}
			{query.isFetchNextPageError && problem}
		</div>
	);
}

/** The place of something that loads. */
export function Skeleton({ rows }: { rows: number }) {
	const bars = Array.from({ length: rows }, (_, row) => row);
	return (
		<div className="skeleton" role="status" aria-label="Loading">
			{bars.map((row) => (
				<div key={row} />
			))}
		</div>
	);
}

/** Says that there is nothing, and how to change that. */
export function Empty({ children, command }: { children: ReactNode; command?: string }) {
	return (
		<div className="empty">
			<p>{children}</p>
			{command && (
				<p>
					<code>{command}</code> <CopyButton text={command} />
				</p>
			)}
		</div>
	);
}
