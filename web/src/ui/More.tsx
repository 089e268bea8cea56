import { useMore, type usePages } from "../api/queries";

/** A button that reads the next page of a list, where there is one. After a page that could not be read, its error offers that. */
export function More({ pages }: { pages: ReturnType<typeof usePages> }) {
	const more = useMore(pages);
	if (!pages.hasNextPage || pages.isFetchNextPageError) return null;
	return (
		<p>
			<button type="button" onClick={more} disabled={pages.isFetchingNextPage}>
				Show more
			</button>
		</p>
	);
}
