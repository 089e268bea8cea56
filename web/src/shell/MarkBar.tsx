import { Link } from "@tanstack/react-router";
import { comparison, useMarks } from "../marks";
import "./MarkBar.css";

/** What is marked for comparison, and the way to it. */
export function MarkBar() {
	const { names, clear } = useMarks();
	if (names.length === 0) return null;
	const target = comparison(names);
	return (
		<section className="marks" aria-label="Marked for comparison">
			<p role="status">
				{names.map((name, index) => (
					<span key={name}>
						{index > 0 && " and "}
						<bdi>{name}</bdi>
					</span>
				))}
				{!target && <span className="quiet"> is marked. Mark another version to compare it with.</span>}
			</p>
			{target && (
				<Link className="button" {...target}>
					Compare
				</Link>
			)}
			<button type="button" onClick={clear}>
				Clear
			</button>
		</section>
	);
}
