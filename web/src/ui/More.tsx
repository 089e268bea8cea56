import { useMore, type usePages } from "../api/queries";

/** A button that reads the next page of a list, where there is one. After a page that could not be read, its error offers that. */
export function More({ pages, name = "Show more" }: { pages: ReturnType<typeof usePages>; name?: string }) {
	const more = useMore(pages);
	if (!pages.hasNextPage || pages.isFetchNextPageError) return null;
	return (
		<p>
			<button type="button" onClick={more} disabled={pages.isFetchingNextPage}>
				{name}
			</button>
		</p>
	);
}
