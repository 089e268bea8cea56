import { Link, useRouterState } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { comparison, useMarks } from "../marks";
import "./MarkBar.css";

/** What is marked for comparison, and the way to it. The comparison itself needs no such bar. */
export function MarkBar() {
	const { names, clear } = useMarks();
	const target = comparison(names);
	const isThere = useRouterState({
		select: ({ location: { pathname, search } }) =>
			pathname === "/compare" && search.a === target?.search.a && search.b === target?.search.b,
	});
	return (
		<>
			<Announcement names={names} />
			{names.length > 0 && !isThere && (
				<section className="marks" aria-label="Marked for comparison">
					<p>
						{names.map((name, index) => (
							<span key={name}>
								{index > 0 && "and "}
								<bdi title={name}>{name}</bdi>
							</span>
						))}
					</p>
					{target ? (
						<Link className="button" {...target}>
							Compare
						</Link>
					) : (
						<span className="quiet">Mark another version</span>
					)}
					<button type="button" onClick={clear}>
						Clear
					</button>
				</section>
			)}
		</>
	);
}

/** Says what is marked whenever that changes. It is always there, since screen readers say only what changes in a place that they know. */
function Announcement({ names }: { names: readonly string[] }) {
	const [before, setBefore] = useState(names);
	const [text, setText] = useState("");
	useEffect(() => {
		if (names === before) return;
		setBefore(names);
		setText(names.length > 0 ? `Marked for comparison: ${names.join(" and ")}` : "Nothing is marked for comparison");
	}, [names, before]);
	return (
		<p role="status" className="visually-hidden">
			{text}
		</p>
	);
}
