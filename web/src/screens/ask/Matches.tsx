import { useId } from "react";
import type { DegenerateReason, SimilarToActivationsMutation } from "../../gql/graphql";
import { Empty } from "../../ui/Answer";
import { shape } from "../../ui/format";
import { HIT_COLUMNS, HIT_MARK } from "../../ui/hits";
import { proof } from "../../ui/proof";
import { Table } from "../../ui/Table";
import "./Matches.css";

/** Why an array cannot be compared. */
const REASONS: Record<DegenerateReason, string> = {
	CONSTANT: "its output is the same for every probe image",
	NOT_FINITE: "it has NaN or infinity for at least one probe image",
	NO_SHARED_STRUCTURE: "its outputs for different probe images have nothing in common",
};

const COLUMNS = [...HIT_COLUMNS, HIT_MARK];

type ActivationMatches = SimilarToActivationsMutation["similarToActivations"]["matches"][number];

/** The most similar layers of the library to a layer of the file. */
export function Matches({
	matches: { name, shape: sizes, degenerate, hits, ...proven },
}: {
	matches: ActivationMatches;
}) {
	const heading = useId();
	return (
		<section className="matches" aria-labelledby={heading}>
			<h2 id={heading}>
				<bdi>{name}</bdi> <span className="quiet">{shape(sizes)}</span>
			</h2>
			{degenerate && <p className="notice bad">This layer cannot be compared: {REASONS[degenerate]}.</p>}
			{!degenerate && hits.length === 0 && <Empty>The library has no layer on this probe set.</Empty>}
			{hits.length > 0 && (
				<>
					<p className="proof">{proof(proven)}</p>
					<Table label={`Layers similar to ${name}`} columns={COLUMNS} rows={hits} rowKey={({ node }) => node.id} />
				</>
			)}
		</section>
	);
}
